"""The GitHub workflow that `mlops init` puts in place: linted, without stored keys, and its commands executed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, Cli, free_port

WORKFLOW = ROOT / "mlops_cli" / "starter" / "shared" / ".github" / "workflows" / "mlops.yml"


def workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def commands(job: str) -> list[str]:
    """What a job's steps run, but for the installation."""
    lines = [step["run"] for step in workflow()["jobs"][job]["steps"] if "run" in step]
    return [line for line in lines if not line.startswith("pip ")]


@pytest.fixture
def actionlint() -> str:
    found = shutil.which("actionlint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("actionlint is not on this machine")
    return found


def test_both_kinds_of_project_get_it(tmp_path: Path) -> None:
    for options in ([], ["--minimal"]):
        Cli(tmp_path)("init", f"p{len(options)}", *options)
        made = tmp_path / f"p{len(options)}" / ".github" / "workflows" / "mlops.yml"
        assert made.read_bytes() == WORKFLOW.read_bytes()


def test_it_has_no_fault_that_actionlint_knows(actionlint: str) -> None:
    done = subprocess.run([actionlint, "-no-color", str(WORKFLOW)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("github.event_name == 'push'", "github.event_nam == 'push'"),
        ("role-to-assume:", "role-to-take:"),
        ("id-token: write", "id-token: yes"),
        ("runs-on: ubuntu-latest", "runs-on: ubuntu-1804"),
    ],
)
def test_actionlint_would_see_a_fault(actionlint: str, tmp_path: Path, right: str, wrong: str) -> None:
    text = WORKFLOW.read_text()
    assert right in text
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace(right, wrong))
    assert subprocess.run([actionlint, str(broken)], capture_output=True).returncode == 1


def test_no_key_is_kept_and_only_the_aws_job_may_ask_for_an_identity() -> None:
    text, found = WORKFLOW.read_text(), workflow()
    assert re.findall(r"access.key", text, re.IGNORECASE) == []
    assert re.findall(r"secrets\.(\w+)", text) == ["KAGGLE_API_TOKEN"]
    assert found["permissions"] == {"contents": "read"}
    assert "permissions" not in found["jobs"]["local"]
    assert found["jobs"]["aws"]["permissions"] == {"contents": "read", "id-token": "write"}


def test_every_command_has_the_options_that_the_workflow_gives_it(tmp_path: Path) -> None:
    lines = [line for job in ("local", "aws") for line in commands(job)]
    called = {command.strip() for line in lines for command in re.findall(r"mlops [^;\n]+", line)}
    assert {command.split()[1] for command in called} >= {
        "quickstart",
        "deploy-infra",
        "download-data",
        "run",
        "cleanup",
    }
    for command in called:
        Cli(tmp_path)(*shlex.split(command)[1:], "--help")


@pytest.mark.slow
def test_the_local_job_runs_through(tmp_path: Path) -> None:
    """Its own lines, in its own shell, in a project as `mlops init` makes it."""
    Cli(tmp_path)("init", "churn", "--minimal")
    folder, programs = tmp_path / "churn", tmp_path / "bin"
    programs.mkdir()
    (programs / "mlops").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mlops_cli "$@"\n')
    (programs / "mlops").chmod(0o755)
    summary = tmp_path / "summary.md"
    environment = {
        **os.environ,
        "CI": "true",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(summary),
        "ENDPOINT_PORT": str(free_port()),
    }
    for line in commands("local"):
        done = subprocess.run(
            ["bash", "-e", "-c", line],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "post-training-tests  done" in summary.read_text()
    assert not (folder / ".mlops").exists()
