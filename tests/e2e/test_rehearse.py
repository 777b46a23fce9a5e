"""`mlops rehearse`: the lifecycle of a project on its own simulated AWS, and its findings."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from mlops_cli import backends
from mlops_cli.cli.context import AppContext
from mlops_cli.cli.rehearsal_steps import go_through
from mlops_cli.console import Console
from mlops_cli.core.checks import Finding, State
from mlops_cli.core.rehearsal import Rehearsal, short_role
from mlops_cli.rehearsal.simulated_aws import SimulatedAws
from tests.conftest import LIMIT_SECONDS, ROOT, Cli, is_alive, links_into, wait_for
from tests.e2e.test_readme import check, masked
from tests.harness.cloud import project

pytestmark = pytest.mark.slow
__all__ = ["project"]
PAGE = (ROOT / "docs" / "reference" / "aws.md").read_text()


@pytest.fixture
def simulator(aws: Aws) -> Iterator[SimulatedAws]:
    """Provide the tests' simulated AWS to a rehearsal. Afterwards restore this process's environment."""
    before = dict(os.environ)
    process: Any = aws.process
    yield SimulatedAws(aws.url, aws.folder, process)
    os.environ.clear()
    os.environ.update(before)
    tempfile.tempdir = None


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def rehearsed(simulator: SimulatedAws, project: Path, tmp_path: Path, **settings: str) -> Rehearsal:
    simulator.folder = tmp_path / "workspace"
    simulator.folder.mkdir()
    context = AppContext(backends, {"SOURCE": "s3", **settings}, project)
    console, sources = Console(quiet=True), [str(project / "tiny.csv")]
    return go_through(simulator, simulator.environment(), context, console, sources, False, True)[0]


def processes_with(text: str) -> list[int]:
    """Return the processes with a text in their environment."""
    messages = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if text.encode() in (folder / "environ").read_bytes():
                messages.append(int(folder.name))
    return messages


def is_documented(finding: Finding) -> bool:
    """Return True if docs/reference/aws.md shows the finding, except for numbers."""
    page = " ".join(masked("\n".join(line.strip() for line in PAGE.splitlines())))
    parts = (finding.message.partition(" on ")[0], finding.reason, finding.fix)
    return all(" ".join(masked(part)) in page for part in parts)


def failures(rehearsal: Rehearsal) -> dict[str, Finding]:
    return {finding.name: finding for finding in rehearsal.findings if finding.state is State.FAILURE}


def test_a_permission_that_a_role_lacks(simulator: SimulatedAws, project: Path, tmp_path: Path) -> None:
    edit(project / "templates" / "pipeline.yaml", "[s3:AbortMultipartUpload, s3:PutObject]", "s3:AbortMultipartUpload")
    rehearsal = rehearsed(simulator, project, tmp_path)
    assert [step.command for step in rehearsal.steps] == ["deploy-infra", "download-data", "run", "cleanup"]
    finding = failures(rehearsal)["permissions"]
    line = 1 + (project / "templates" / "pipeline.yaml").read_text().splitlines().index("  JobRole:")
    assert "JobRole may not s3:PutObject on arn:aws:s3:::" in finding.message
    assert f"templates/pipeline.yaml, line {line}, JobRole" in finding.fix
    assert failures(rehearsal)["run"].message.startswith("preprocess.py failed")
    assert is_documented(finding)
    assert {(short_role(each.principal), each.action) for each in rehearsal.refused} == {("JobRole", "s3:PutObject")}


def test_a_package_that_the_image_lacks(simulator: SimulatedAws, project: Path, tmp_path: Path) -> None:
    edit(project / "training" / "preprocess.py", "import shutil\n", "import shutil\n\nimport polars\n")
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/db-AbC123"
    names = f'[secrets]\nnames = ["FEED", "DB"]\naws = {{ DB = "{arn}" }}\n\n[metrics]\n'
    edit(project / "training" / "usecase.toml", "[metrics]\n", names)
    edit(
        project / "training" / "preprocess.py", "import shutil\n", "import os, shutil\nprint(os.environ['DB'], 'it')\n"
    )
    (project / ".env").write_text("DB=quiet-otter\n")
    (project / "training" / "tests" / "requirements.txt").write_text("# the gates' packages: none\n")
    rehearsal = rehearsed(simulator, project, tmp_path)
    warned = [finding.message for finding in rehearsal.findings if finding.name == "secrets"]
    assert warned == ["The secret FEED is not set on this machine."]
    finding = failures(rehearsal)["requirements"]
    assert finding.message == "A script imports polars, which the image on AWS does not have."
    assert is_documented(finding)
    assert not rehearsal.refused


COMPANY = {
    "PERMISSIONS_BOUNDARY": "arn:aws:iam::111122223333:policy/teams/limit",
    "ROLE_PATH": "/teams/ml/",
    "RESOURCE_TAGS": "cost-center=42",
    "KMS_KEY_ARN": "arn:aws:kms:eu-west-1:111122223333:key/0f0f0f0f-0000-4000-8000-000000000000",
    "VPC_ID": "vpc-0123456789abcdef0",
    "SUBNET_IDS": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "SECURITY_GROUP_IDS": "sg-0123456789abcdef0",
    "BUCKET_NAME": "the-company",
    "PACKAGE_INDEX_URL": "https://packages.example.com/simple/",
    "PACKAGE_INDEX_SECRET": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/packages-AbC123",
    "IMAGE_REGISTRY": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror",
    "BUILD_IMAGE": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror/builds:1",
}


def test_a_company_s_account_is_made_and_used(simulator: SimulatedAws, aws: Aws, project: Path, tmp_path: Path) -> None:
    rehearsal = rehearsed(simulator, project, tmp_path, **COMPANY)
    assert failures(rehearsal) == {}
    assert not rehearsal.refused
    used = {(short_role(each.principal), each.action, each.resource) for each in rehearsal.decisions}
    registry = "arn:aws:ecr:us-east-1:123456789012:repository/mirror"
    assert ("JobRole", "ecr:BatchGetImage", f"{registry}/sagemaker-scikit-learn") in used
    assert ("StageRole", "ecr:BatchGetImage", f"{registry}/builds") in used
    assert {("JobRole", "kms:CreateGrant"), ("StageRole", "secretsmanager:GetSecretValue")} <= {e[:2] for e in used}
    assert any(role == "ModelRole" and action == "ec2:CreateNetworkInterface" for role, action, _ in used)
    assert any(line.startswith("your bucket's policy") for line in rehearsal.not_shown)
    assert aws.client("s3").get_bucket_versioning(Bucket="the-company")["Status"] == "Enabled", "cleanup keeps it"


def test_a_minimal_project_as_the_page_shows_it(tmp_path: Path) -> None:
    Cli(tmp_path)("init", "churn", "--minimal", "--aws")
    before = sorted((tmp_path / "churn").rglob("*"))
    block = re.search(r"<!-- rehearsal.*?-->\n```\n\$ .*?\n(.*?)```", PAGE, re.S)
    assert block
    cli = Cli(tmp_path / "churn", {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_PROFILE": "mine"})
    check("rehearse", masked(cli("rehearse", "--yes")), masked(block[1]))
    assert sorted((tmp_path / "churn").rglob("*")) == before


def test_a_gate_that_fails_while_the_simulated_aws_is_kept(project: Path, tmp_path: Path) -> None:
    edit(project / "training" / "tests" / "test_pretraining.py", "len(rows) >= 3,", "len(rows) >= 3000,")
    cli = Cli(project, {"SOURCE": "s3"})
    report = cli.json("rehearse", "--source", "tiny.csv", "--keep", "--yes", code=3)
    kept = report["kept"]
    try:
        (finding,) = (each for each in report["findings"] if each["state"] == "failure")
        assert finding["message"] == "The gate pre-training-tests failed: 1 of 1 tests."
        assert (finding["name"], finding["fix"]) == ("run", "Fix it, then: mlops rehearse")
        assert is_documented(
            Finding(finding["name"], State.FAILURE, *(finding[key] for key in ("message", "reason", "fix")))
        )
        kept_cli = Cli(Path(kept["project"]), kept["environment"])
        listing = "import boto3; print([one['Name'] for one in boto3.client('s3').list_buckets()['Buckets']])"
        for arguments in (["-c", listing], ["-m", "awscli", "s3", "ls"]):
            shown = subprocess.run(
                [sys.executable, *arguments], env={**os.environ, **kept["environment"]}, capture_output=True, text=True
            )
            assert "mlops-tiny-dev-storage-bucket" in shown.stdout, shown.stderr
        assert kept_cli.json("status")["run"]["status"] == "failed"
    finally:
        folder = Path(kept["project"]).parent
        link = tmp_path / "link"
        link.symlink_to(folder)
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy2(folder / "kept.json", copy)
        for foreign in (link, tmp_path, copy):
            assert "is no folder of a rehearsal" in cli.both("rehearse", "--end", str(foreign), code=2)[1]
        end = [sys.executable, "-m", "mlops_cli", *shlex.split(kept["end"])[1:]]
        ended = subprocess.run(end, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert (ended.stdout, ended.returncode) == ("ended; all its files are removed\n", 0), ended.stderr
    assert not folder.exists()
    assert not is_alive(kept["pid"])
    assert processes_with(str(folder)) == []
    assert links_into(folder) == []
    assert cli.json("rehearse", "--end", str(folder))["ended"] is False
    assert not (project / ".mlops").exists()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_nothing_is_left_of_a_rehearsal_that_is_ended(project: Path, tmp_path: Path, sign: signal.Signals) -> None:
    files = tmp_path / "files"
    files.mkdir()
    cli = Cli(project, {"SOURCE": "s3", "TMPDIR": str(files)})
    with cli.start("rehearse", "--source", "tiny.csv", "--yes") as process:
        assert process.stdout is not None
        wait_for(lambda: "CREATE_COMPLETE" in process.stdout.readline())
        process.send_signal(sign)
        process.communicate(timeout=LIMIT_SECONDS)
    wait_for(lambda: list(files.iterdir()) == [])
    wait_for(lambda: processes_with(str(files)) == [])
    assert links_into(files) == []
    assert process.returncode == (130 if sign is signal.SIGINT else -signal.SIGKILL)
    assert not (project / ".mlops").exists()
