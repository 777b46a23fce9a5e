"""The GitHub workflow that `mlops init` writes: linted, pinned, without stored keys; its commands are executed."""

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

from aws_simulator.services.codebuild import image
from mlops_cli import __version__
from mlops_cli.locks import path_of
from tests.conftest import ROOT, Cli, free_port
from tests.package_index import taken_over

WORKFLOW = ROOT / "mlops_cli" / "project" / "scaffold" / "starter" / "shared" / ".github" / "workflows" / "mlops.yml"


def workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def commands(job: str, parsed: dict[str, Any] | None = None) -> list[str]:
    """Return the commands of a job's steps, without the installation."""
    steps = (parsed or workflow())["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step and not step["name"].startswith("Install")]


def installation(job: str) -> str:
    """Return the installation of mlops in the workflow."""
    (step,) = (step for step in workflow()["jobs"][job]["steps"] if step.get("name") == "Install")
    return str(step["run"])


@pytest.fixture
def actionlint() -> str:
    executable = shutil.which("actionlint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if executable is None:
        pytest.skip("actionlint is not on this machine")
    return executable


def test_both_kinds_of_project_get_it(tmp_path: Path) -> None:
    for options in ([], ["--minimal"]):
        Cli(tmp_path)("init", f"p{len(options)}", "--github", *options)
        workflow_file = tmp_path / f"p{len(options)}" / ".github" / "workflows" / "mlops.yml"
        assert workflow_file.read_bytes() == WORKFLOW.read_bytes()


def by_version() -> str:
    """Return the workflow with its actions named by version, because actionlint knows the inputs of versions."""
    return re.sub(r"@[0-9a-f]{40} # (v\d+)\S*", r"@\1", WORKFLOW.read_text())


def test_it_has_no_fault_that_actionlint_knows(actionlint: str, tmp_path: Path) -> None:
    (tmp_path / "mlops.yml").write_text(by_version())
    for file in (WORKFLOW, tmp_path / "mlops.yml"):
        done = subprocess.run([actionlint, "-no-color", str(file)], capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("", 0)


def test_the_workflow_of_a_project_in_a_subfolder_is_in_the_repositorys_folder(actionlint: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    lines = re.sub(r" +", " ", Cli(tmp_path)("init", "models/x", "--minimal", "--github", "--dry-run")).splitlines()
    assert "add .github the mlops that the workflow installs" in lines
    assert "add ../../.github/workflows/mlops-x.yml a workflow: local on a pull request, aws on main" in lines
    for name, framework in (("churn", "sklearn"), ("price", "xgboost")):
        created = Cli(tmp_path).json("init", f"models/{name}", "--framework", framework, "--github")
        assert f"../../.github/workflows/mlops-{name}.yml" in created["files"]
        text = (tmp_path / ".github" / "workflows" / f"mlops-{name}.yml").read_text()
        job = yaml.safe_load(text)
        assert job["defaults"] == {"run": {"working-directory": f"models/{name}"}}
        assert job["jobs"]["aws"]["concurrency"] == {"group": f"mlops-{name}"}
        assert "mlops_cli.locks server" in text
        assert "mlops_cli.locks local" not in text, "a model of another framework needs no TensorFlow"
        named = re.findall(r"(?:dependency-path|path): (\S+)", text)
        assert [path for path in named if not path.startswith(f"models/{name}/")] == []
        done = subprocess.run([actionlint, "-no-color", "-"], input=text, capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("", 0)
        assert (tmp_path / "models" / name / ".github" / "mlops" / "wheel.txt").is_file()
    assert not (tmp_path / "models" / "churn" / ".github" / "workflows").exists()


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
    text = by_version()
    assert right in text
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace(right, wrong))
    assert subprocess.run([actionlint, str(broken)], capture_output=True).returncode == 1


def test_no_key_is_kept_and_only_the_aws_job_may_ask_for_an_identity() -> None:
    text, parsed = WORKFLOW.read_text(), workflow()
    assert re.findall(r"access.key", text, re.IGNORECASE) == []
    assert re.findall(r"secrets\.(\w+)", text) == ["KAGGLE_API_TOKEN"]
    assert parsed["permissions"] == {"contents": "read"}
    assert "permissions" not in parsed["jobs"]["local"]
    assert parsed["jobs"]["aws"]["permissions"] == {"contents": "read", "id-token": "write"}


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


def test_every_action_is_named_by_its_commit_with_the_version_beside_it() -> None:
    lines = [line.strip() for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert len(lines) == 6
    pinned = re.compile(r"(?:- )?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_the_installation_gets_no_secret() -> None:
    """The credentials come after the installation, and only the step that needs Kaggle's token gets it."""
    job = workflow()["jobs"]["aws"]
    names = [step.get("name") or step["uses"].split("@")[0] for step in job["steps"]]
    assert names.index("Install") < names.index("aws-actions/configure-aws-credentials")
    assert [step["name"] for step in job["steps"] if "KAGGLE_API_TOKEN" in step.get("env", {})] == ["The data"]
    assert "KAGGLE_API_TOKEN" not in job["env"]


@pytest.mark.slow
@pytest.mark.parametrize("job", ["local", "aws"])
def test_a_foreign_package_with_our_name_is_not_installed(tmp_path: Path, job: str) -> None:
    """The installation is executed in an image that has all its packages except mlops."""
    Cli(tmp_path)("init", "churn", "--minimal", "--github")
    index = taken_over(tmp_path / "index", {"mlops-cli": "99.0"})
    programs = image.make(tmp_path / "image", image.packages(tmp_path / "packages", ROOT / "mlops_cli" / "locks"))
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path), "PIP_INDEX_URL": index}
    script = ["bash", "-e", "-o", "pipefail", "-c", installation(job)]
    done = subprocess.run(script, cwd=tmp_path / "churn", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    version = subprocess.run([programs / "mlops", "--version"], env=environment, capture_output=True, text=True)
    assert (version.stdout, version.stderr) == (f"mlops {__version__}\n", "")


def refused(arguments: list[str], folder: Path) -> str:
    """Return pip's message about a refused installation."""
    options = [
        "--isolated",
        "--disable-pip-version-check",
        "install",
        "--no-deps",
        "--no-cache-dir",
        "--require-hashes",
    ]
    target = ["--target", str(folder / "target")]
    command = [sys.executable, "-m", "pip", *options, *target, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert not (folder / "target").exists()
    return done.stderr


def test_a_wheel_that_was_exchanged_in_the_project_is_not_taken(tmp_path: Path) -> None:
    Cli(tmp_path)("init", "churn", "--minimal", "--github")
    (wheel,) = (tmp_path / "churn" / ".github" / "mlops").glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b" ")
    for job in ("local", "aws"):
        assert installation(job).startswith("python -m pip install --no-index --no-deps --require-hashes -r ")
    output = refused(["--no-index", "-r", ".github/mlops/wheel.txt"], tmp_path / "churn")
    assert "DO NOT MATCH THE HASHES" in output


@pytest.mark.parametrize("lock", ["base", "local"])
def test_a_package_that_was_exchanged_on_the_index_is_not_taken(tmp_path: Path, lock: str) -> None:
    lines = [line.split(" ")[0].split("==") for line in path_of(lock).read_text().splitlines() if "==" in line]
    index = taken_over(tmp_path / "index", dict(lines))
    assert "DO NOT MATCH THE HASHES" in refused(["--index-url", index, "-r", str(path_of(lock))], tmp_path)


@pytest.mark.parametrize("job", ["local", "aws"])
def test_what_a_script_has_printed_stays_code_in_the_summary_of_a_job(tmp_path: Path, job: str) -> None:
    """In Markdown a line of three backquotes would end the block of code, and what follows could be anything."""
    (tmp_path / "mlops").write_text("#!/bin/sh\nprintf 'failed:\\n\\n\\140\\140\\140\\n# Approved\\n'\n")
    (tmp_path / "mlops").chmod(0o755)
    Cli(tmp_path)("init", "churn", "--minimal", "--github")
    workflow = yaml.safe_load((tmp_path / "churn" / ".github" / "workflows" / "mlops.yml").read_text())
    (line,) = [step["run"] for step in workflow["jobs"][job]["steps"] if "STEP_SUMMARY" in step.get("run", "")]
    summary = tmp_path / "summary.md"
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
    subprocess.run(["bash", "-e", "-c", line], env=variables, check=True)
    assert summary.read_text() == "    failed:\n    \n    ```\n    # Approved\n"
    (tmp_path / "mlops").write_text("#!/bin/sh\nexit 3\n")
    assert subprocess.run(["bash", "-e", "-c", line], env=variables).returncode == 3


@pytest.mark.slow
def test_the_local_jobs_of_two_use_cases_in_one_repository_succeed(tmp_path: Path) -> None:
    """Each job runs from the repository's root, in its folder and shell, as on GitHub. Both endpoints live at once."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mlops").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mlops_cli "$@"\n')
    (programs / "mlops").chmod(0o755)
    environment = {**os.environ, "CI": "true", "PATH": f"{programs}:{os.environ['PATH']}"}
    jobs, variables = {}, {}
    for name, options in (("churn", ["sklearn"]), ("price", ["xgboost", "--scripts-dir", "src/ml"])):
        Cli(tmp_path)("init", f"models/{name}", "--github", "--framework", *options)
        jobs[name] = yaml.safe_load((tmp_path / ".github" / "workflows" / f"mlops-{name}.yml").read_text())
        own = {"GITHUB_STEP_SUMMARY": str(tmp_path / f"{name}.md"), "ENDPOINT_PORT": str(free_port())}
        variables[name] = {**environment, **own}
        (cached,) = (step["with"] for step in jobs[name]["jobs"]["local"]["steps"] if "cache" in step.get("with", {}))
        assert (tmp_path / cached["cache-dependency-path"]).is_file()
    for lines in zip(*(commands("local", job) for job in jobs.values()), strict=True):
        for line, (name, job) in zip(lines, jobs.items(), strict=True):
            folder = tmp_path / job["defaults"]["run"]["working-directory"]
            shell = ["bash", "-e", "-c", line]
            done = subprocess.run(
                shell, cwd=folder, env=variables[name], stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{name}: {line}\n{done.stdout}\n{done.stderr}"
    for name in jobs:
        assert "post-training-tests  done" in (tmp_path / f"{name}.md").read_text()
        assert not (tmp_path / "models" / name / ".mlops").exists()
