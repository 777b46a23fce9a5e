"""`mlops doctor` on one machine: each fault is real, and the finding's fix removes it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.packaging.install_hint import install_command
from mlops_cli.processes.child_process import TOKEN
from mlops_cli.processes.project_lock import ProjectLock
from tests.conftest import USE_CASES, Cli, free_port, wait_for

HIDING = """
import importlib.machinery as machinery
known = machinery.PathFinder.find_spec
machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, path=None, target=None: None if name in ("sklearn", "tensorflow") else known(name, path, target)
)
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Provide a project with data and infrastructure, and without a training."""
    folder = tmp_path / "tiny"
    shutil.copytree(USE_CASES / "tiny" / "training", folder / "training")
    (folder / "tiny.csv").write_text("id,text,long\n" + "".join(f"{n},text number {n},{n % 2}\n" for n in range(20)))
    cli = Cli(folder, {"ENDPOINT_PORT": str(free_port())})
    cli("download-data", "--source", "tiny.csv")
    cli("deploy-infra")
    return cli


def findings(cli: Cli, code: int = 0) -> dict[str, dict[str, Any]]:
    """Return the findings that are not ok, by name. Exit code 1 means that one of them is a failure."""
    report = cli.json("doctor", code=code)
    assert (report["failures"] > 0) == (code == 1)
    assert report["target"] == "local"
    return {finding["name"]: finding for finding in report["findings"] if finding["state"] != "ok"}


@pytest.mark.parametrize(
    ("framework", "ok"), [("sklearn", "packages        installed for scikit-learn"), ("tensorflow", "tensorflow ")]
)
def test_a_project_that_is_well_has_nothing_to_fix(cli: Cli, framework: str, ok: str) -> None:
    cli.edit("usecase.toml", 'framework = "sklearn"', f'framework = "{framework}"')
    assert findings(cli) == {}
    out = cli("doctor")
    assert f"✓ ok       {ok}" in out
    assert "20 rows" in out
    assert out.splitlines()[-1].endswith(" fine")


def test_it_changes_nothing(project_folder: Path) -> None:
    Cli(project_folder).both("doctor", code=1)
    assert not (project_folder / ".mlops").exists()


def test_a_port_that_is_taken(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cli.environment = {"ENDPOINT_PORT": str(server.getsockname()[1])}
        (finding,) = findings(cli, code=1).values()
    assert (finding["name"], finding["state"]) == ("port", "failure")
    assert "is taken: another program listens there" in finding["message"]
    assert "ENDPOINT_PORT=0" in finding["fix"]
    cli.environment = {"ENDPOINT_PORT": "0"}
    assert findings(cli) == {}


@pytest.mark.parametrize(("framework", "extra"), [("sklearn", "sklearn"), ("tensorflow", "local")])
def test_missing_packages_of_the_framework(cli: Cli, tmp_path: Path, framework: str, extra: str) -> None:
    cli.edit("usecase.toml", 'framework = "sklearn"', f'framework = "{framework}"')
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING)
    cli.environment = {**cli.environment, "PYTHONPATH": str(tmp_path / "hiding")}
    (finding,) = findings(cli, code=1).values()
    assert (finding["state"], finding["message"]) == ("failure", f"Not installed: {framework}.")
    assert finding["fix"] == install_command(extra)


def test_settings_and_use_case_that_are_wrong_are_named_together(cli: Cli) -> None:
    use_case = cli.folder / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text().replace('name = "', 'name = "!'))
    cli.environment = {"ENDPOINT_PORT": "eighty"}
    report = cli.json("doctor", code=1)
    wrong = [finding["message"] for finding in report["findings"] if finding["name"] == "settings"]
    assert "ENDPOINT_PORT is 'eighty' (from environment variable)" in wrong[0]
    assert "name is '!tiny'" in wrong[1]


def test_a_locked_project(cli: Cli) -> None:
    with ProjectLock(cli.folder / ".mlops" / "lock").held("run"):
        (finding,) = findings(cli).values()
    assert (finding["name"], finding["state"]) == ("lock", "warning")
    assert "`mlops run` (process" in finding["message"]


def test_processes_that_a_killed_command_has_left(cli: Cli) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={TOKEN: "abc"}) as process:
        (cli.folder / ".mlops" / "children" / "abc").mkdir(parents=True)
        wait_for(lambda: f"{TOKEN}=abc".encode() in Path(f"/proc/{process.pid}/environ").read_bytes())
        (finding,) = findings(cli).values()
        process.kill()
    assert (finding["name"], str(process.pid) in finding["message"]) == ("leftovers", True)
    assert findings(cli) == {}


def test_a_state_folder_of_another_user(project_folder: Path) -> None:
    (project_folder / ".mlops").mkdir()
    (project_folder / ".mlops" / "theirs").touch()
    folder = findings(Cli(project_folder), code=1)["folder"]
    assert (folder["state"], "was not created by mlops" in folder["message"]) == ("failure", True)


def test_kaggles_token_is_checked_only_without_data(project_folder: Path) -> None:
    cli = Cli(project_folder)
    result = findings(cli, code=1)
    assert (result["dataset"]["fix"], result["kaggle"]["state"]) == ("mlops download-data", "failure")
    assert "kaggle" not in findings(Cli(project_folder, {"KAGGLE_API_TOKEN": "KGAT_0"}))
    cli("download-data", "--source", "sample", "--rows", "500")
    assert findings(cli) == {}


@pytest.mark.slow
def test_an_endpoint_that_has_died_and_is_fixed_as_it_says(tiny: Cli) -> None:
    run = tiny.json("run")
    tiny("approve", "--run-id", run["id"], "--yes")
    assert findings(tiny) == {}
    os.kill(
        json.loads((tiny.folder / ".mlops" / "endpoint" / "supervisor.lock").read_text())["process"]["pid"],
        signal.SIGKILL,
    )
    result = wait_for(lambda: tiny.json("status")["endpoint"]["state"] == "failed" and findings(tiny, code=1))
    endpoint = result["endpoint"]
    assert (endpoint["state"], "The server process has died" in endpoint["message"]) == ("failure", True)
    tiny("run")
    assert findings(tiny) == {}
