from __future__ import annotations

from aws_simulator.fixture import aws, aws_server
from tests.conftest import aws_simulator_options, clean_environment, pytest_collection_modifyitems, tiny_model

__all__ = [
    "aws",
    "aws_server",
    "aws_simulator_options",
    "clean_environment",
    "pytest_collection_modifyitems",
    "tiny_model",
]
