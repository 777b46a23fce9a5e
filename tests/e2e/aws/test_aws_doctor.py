"""The permissions that `mlops doctor` checks are enough for the whole lifecycle, with IAM enforced."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws
from mlops_cli.backends.aws.doctor.required_permissions import ArnContext, policy, required_permissions
from mlops_cli.backends.aws.resource_names import ResourceNames
from tests.harness.cloud import Cloud, git, project

pytestmark = pytest.mark.slow
__all__ = ["project"]
PLACE = ArnContext(
    partition="aws",
    region="us-east-1",
    account="123456789012",
    names=ResourceNames("tiny", "dev"),
    endpoint="tiny-dev",
    bucket="mlops-tiny-dev-storage-bucket-*",
    owned=True,
    source="codecommit",
    repository="tiny-dev",
    connection="",
    sends_mail=False,
)


def test_the_permissions_that_doctor_checks_are_enough_for_every_command(project: Path, aws: Aws) -> None:
    (project / ".gitignore").write_text(".env\n.mlops/\nreached-*\n*.csv\n__pycache__\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    credentials = user(aws, "ann", *policy(required_permissions(PLACE))["Statement"])
    keys = {name.upper(): value for name, value in credentials.items()}
    cloud = Cloud(project, aws, **keys)
    assert cloud.json("doctor")["failures"] == 0
    cloud.ready()
    run = cloud.approved()
    cloud("test-endpoint")
    for command in ("status", "runs", "models", "logs", "report", "doctor"):
        cloud(command)
    cloud("reproduce", run["id"])
    cloud("run", "--detach", "--force")
    cloud("stop")
    assert cloud.json("status", run["id"])["run"]["status"] == "done"
    cloud("cleanup", "--yes")
    assert [person for person in aws.control("people") if not person["allowed"]] == []
    assert cloud.json("doctor")["failures"] == 0, "nothing is left that would be in the way"
