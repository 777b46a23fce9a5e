"""A project of the tiny use case on the simulated AWS, used through the CLI by the tests of the target aws."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import ROOT, USE_CASES, Cli, wait_for

PIPELINE = "mlops-tiny-dev-pipeline"


class Cloud(Cli):
    """`mlops` in a project with the tiny use case, and its AWS account."""

    def __init__(self, folder: Path, aws: Aws, **settings: str) -> None:
        super().__init__(folder, {**aws.environment, "MLOPS_TARGET": "aws", **settings})
        self.aws = aws

    def ready(self) -> Cloud:
        """Prepare the infrastructure and the data."""
        self("deploy-infra", "--yes")
        self("download-data", "--source", "tiny.csv")
        return self

    def approved(self, *arguments: str) -> dict[str, Any]:
        run = self.json("run", *arguments)
        assert run["status"] == "waiting"
        return dict(self.json("approve", "--run-id", run["id"][:8], "--yes"))

    def decide_in_the_console(self, status: str, summary: str) -> None:
        """Send a decision without mlops, as the console does. The token appears later than the run waits."""
        pipelines = self.aws.client("codepipeline")

        def token() -> str:
            stages = pipelines.get_pipeline_state(name=PIPELINE)["stageStates"]
            (approval,) = (stage for stage in stages if stage["stageName"] == "approval")
            (action,) = (state for state in approval["actionStates"] if state["actionName"] == "decision")
            return str(action.get("latestExecution", {}).get("token", ""))

        pipelines.put_approval_result(
            pipelineName=PIPELINE,
            stageName="approval",
            actionName="decision",
            result={"summary": summary, "status": status},
            token=wait_for(token),
        )

    @contextmanager
    def going(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command during the block. If the test fails, do not wait for the command."""
        with self.start(*arguments) as process:
            try:
                yield process
            finally:
                process.kill()

    def held(self, script: str) -> Path:
        """Create a file during the block. A script waits while it exists, because the job runs on this machine."""
        file = self.folder.parent / f"hold-{script}"
        file.touch()
        self.edit(
            script,
            "import argparse\n",
            f"import argparse\nimport time\nwhile __import__('os').path.exists({str(file)!r}):\n    time.sleep(0.05)\n",
        )
        return file


def tiny_project(folder: Path) -> Path:
    shutil.copytree(USE_CASES / "tiny" / "training", folder / "training")
    shutil.copytree(ROOT / "templates", folder / "templates")
    (folder / "tiny.csv").write_text("id,text,long\n" + "".join(f"{n},text number {n},{n % 2}\n" for n in range(20)))
    return folder


def use_tensorflow(project: Path, model: Path) -> None:
    """Let the training give a model for TensorFlow Serving, whose container needs no network."""
    training = project / "training"
    shutil.copytree(model, training / "model")
    lines = (training / "train.py").read_text().splitlines()
    copied = [line for line in lines if not line.startswith(('(model / "code")', "shutil.copy("))]
    copied.append('shutil.copytree(Path(__file__).with_name("model"), model, dirs_exist_ok=True)')
    (training / "train.py").write_text("\n".join(copied) + "\n")
    use_case = (training / "usecase.toml").read_text()
    (training / "usecase.toml").write_text(use_case.replace('framework = "sklearn"', 'framework = "tensorflow"'))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tiny_project(tmp_path / "tiny")


@pytest.fixture
def cloud(project: Path, aws: Aws) -> Iterator[Cloud]:
    """Provide a project whose source is an upload. Its roles must not lack any permission that they use."""
    yield Cloud(project, aws, SOURCE="s3")
    assert aws.denials() == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, aws_server: Aws) -> Iterator[Cloud]:
    """Provide one project, with infrastructure and data, to a module's tests. Each test continues with its state.

    A module that shares a project has no test that needs an empty account.
    """
    aws_server.reset()
    yield Cloud(tiny_project(tmp_path_factory.mktemp("shared") / "tiny"), aws_server, SOURCE="s3").ready()
    assert aws_server.denials() == []
    assert aws_server.control("drift") == []


def packages(cloud: Cloud) -> dict[str, str]:
    """Return the approval status of the model packages by the run that registered them."""
    sagemaker = cloud.aws.client("sagemaker")
    listed = sagemaker.list_model_packages(ModelPackageGroupName="tiny-dev")["ModelPackageSummaryList"]
    described = [sagemaker.describe_model_package(ModelPackageName=entry["ModelPackageArn"]) for entry in listed]
    return {
        description["CustomerMetadataProperties"]["run"]: description["ModelApprovalStatus"]
        for description in described
    }


def everything(aws: Aws) -> dict[str, list[str]]:
    """Return all resources of the account by kind, except the source's bucket and AWS's own log groups for jobs."""
    sagemaker = aws.client("sagemaker")
    groups_of_models = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    logs = aws.client("logs")
    groups = [log_group["logGroupName"] for log_group in logs.describe_log_groups()["logGroups"]]
    streams = [
        log_stream["logStreamName"]
        for group in groups
        for log_stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
    ]
    return {
        "stacks": [stack["StackName"] for stack in aws.client("cloudformation").describe_stacks()["Stacks"]],
        "buckets": [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]],
        "endpoints": [endpoint["EndpointName"] for endpoint in sagemaker.list_endpoints()["Endpoints"]],
        "models": [model["ModelName"] for model in sagemaker.list_models()["Models"]],
        "groups": [groups_of_model["ModelPackageGroupName"] for groups_of_model in groups_of_models],
        "pipelines": [pipeline["name"] for pipeline in aws.client("codepipeline").list_pipelines()["pipelines"]],
        "repositories": [
            repository["repositoryName"]
            for repository in aws.client("codecommit").list_repositories()["repositories"]
        ],
        "roles": [role["RoleName"] for role in aws.client("iam").list_roles()["Roles"] if "mlops" in role["RoleName"]],
        "log streams": streams,
    }  # fmt: skip


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=folder, check=True)
