"""A run to the live model and back while AWS throttles requests of commands, steps and jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_simulator.fixture import Aws, aws, aws_server
from tests.harness.cloud import Cloud, everything, project
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server", "project"]
EVERY = 5


def test_throttled_commands_steps_and_jobs_come_to_their_end(project: Path, aws: Aws) -> None:
    before = everything(aws)
    aws.control("throttle", every=EVERY)
    cloud = Cloud(project, aws).ready()
    assert set(statuses(cloud.approved()).values()) == {"done"}
    assert cloud.json("test-endpoint", "--text", "hello")["endpoint"]["is_what_was_approved"] is True
    assert "verified: no resources created by mlops remain" in cloud("cleanup", "--yes")
    assert set(aws.control("throttle")) >= {"cloudformation", "codepipeline", "logs", "s3", "sagemaker"}
    aws.control("throttle", every=0)
    assert everything(aws) == before
