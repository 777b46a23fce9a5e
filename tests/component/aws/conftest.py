"""The simulated AWS, and a minimal project on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.backend import AwsBackend
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import ROOT, USE_CASES, Cli, wait_for


class Scenario:
    """A project folder and its AWS account."""

    def __init__(self, aws: Aws, root: Path) -> None:
        self.aws = aws
        self.root = root
        self.project = Project(root)

    def backend(self, **settings: str) -> AwsBackend:
        """Return a backend as a new command has it."""
        use_case = load_use_case(self.root / "training" / "usecase.toml")
        return AwsBackend(self.project, use_case, resolve({"SOURCE": "s3", **settings}, {}, {}))

    def cli(self, **environment: str) -> Cli:
        """Provide `mlops` with this AWS's credentials and no other settings of AWS."""
        return Cli(self.root, {**self.aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3", **environment})

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one part of a template."""
        path = self.root / "templates" / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def stacks(self) -> dict[str, str]:
        """Return the status of every existing stack."""
        stacks = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in stacks}

    def tag_stack(self, name: str, tags: dict[str, str]) -> None:
        """Give a stack these tags and no others."""
        client = self.aws.client("cloudformation")
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
        kept = [
            {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True} for parameter in stack["Parameters"]
        ]
        client.update_stack(
            StackName=name,
            UsePreviousTemplate=True,
            Parameters=kept,
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        wait_for(lambda: self.stacks()[name].endswith("_COMPLETE"))

    def keys(self, bucket: str) -> list[str]:
        """Return every version's key in a bucket."""
        versions: dict[str, Any] = self.aws.client("s3").list_object_versions(Bucket=bucket)
        return sorted(version["Key"] for version in [*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())])


@pytest.fixture
def scenario(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "project"
    shutil.copytree(USE_CASES / "tiny" / "training", root / "training")
    shutil.copytree(ROOT / "templates", root / "templates")
    return Scenario(aws, root)


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    aws.client("s3").create_bucket(Bucket="ours")
    return Bucket(Account("", "").client("s3"), "ours", "tiny-dev/")


@pytest.fixture
def versioned(bucket: Bucket) -> Bucket:
    bucket.client.put_bucket_versioning(Bucket="ours", VersioningConfiguration={"Status": "Enabled"})
    return bucket
