"""The simulated AWS, for the targets and the scripts that use it."""

from __future__ import annotations

from aws_simulator.fixture import aws, aws_server

__all__ = ["aws", "aws_server"]
