"""The simulated AWS, and a project on it whose pipeline template is cut down to what a test of stacks needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.backends.aws.backend import AwsBackend
from mlops_cli.config import resolve
from mlops_cli.project import Project
from mlops_cli.usecase import load_use_case
from tests.aws_simulator.fixture import Aws, aws, aws_server
from tests.conftest import ROOT, USE_CASES, Cli

__all__ = ["aws", "aws_server"]

RESOURCES = """
Resources:
  Topic:
    Type: AWS::SNS::Topic
  BuildLogs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub /aws/codebuild/${AWS::StackName}
      RetentionInDays: !Ref LogRetentionDays
Outputs:
  SourceType: {Value: !Ref SourceType}
  WheelKey: {Value: !Ref WheelKey}
"""


class Ground:
    """A project folder and the AWS account that its commands meet."""

    def __init__(self, aws: Aws, root: Path) -> None:
        self.aws = aws
        self.root = root
        self.project = Project(root)

    def backend(self, **settings: str) -> AwsBackend:
        """A backend as a new command would have it."""
        use_case = load_use_case(self.root / "training" / "usecase.toml")
        return AwsBackend(self.project, use_case, resolve({"SOURCE": "s3", **settings}, {}, {}))

    def cli(self, **environment: str) -> Cli:
        """`mlops` with the environment of a user of this AWS, and nothing else of AWS."""
        return Cli(self.root, {**self.aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3", **environment})

    def stacks(self) -> dict[str, str]:
        """The status of every stack that is there."""
        found = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        return {one["StackName"]: one["StackStatus"] for one in found}

    def keys(self, bucket: str) -> list[str]:
        """Every version's key in a bucket."""
        found: dict[str, Any] = self.aws.client("s3").list_object_versions(Bucket=bucket)
        return sorted(one["Key"] for one in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())])


def cut_down(template: str) -> str:
    """The pipeline template's own parameters, with resources that every CloudFormation engine knows."""
    start, end = template.index("\nParameters:\n"), template.index("\nConditions:\n")
    return 'AWSTemplateFormatVersion: "2010-09-09"' + template[start:end] + RESOURCES


@pytest.fixture
def ground(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "project"
    shutil.copytree(USE_CASES / "tiny" / "training", root / "training")
    shutil.copytree(ROOT / "templates", root / "templates")
    pipeline = root / "templates" / "pipeline.yaml"
    pipeline.write_text(cut_down(pipeline.read_text()))
    return Ground(aws, root)
