"""Other entries in the place of mlops' files in .mlops/: links, and files of the wrong type."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.backends.local.backend import LocalBackend
from mlops_cli.backends.local.cleanup.owned_files import unknown_paths
from mlops_cli.backends.local.infra.deploy import deploy_infra
from mlops_cli.core.checks import State
from mlops_cli.core.runs import RunRequest
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.paths import find_project, named_project
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.data_request import data_request
from mlops_cli.project.usecase.reader import load_use_case
from tests.component.local.scenario import Scenario, Silent

LINKS = (
    "", "data", "data/partial", "artifacts", "artifacts/train", "artifacts/train/.checkpoints", "runs", "runs/0a1b",
    "endpoint", "endpoint/models", "endpoint/observed", "endpoint/server.log", "children", "reproduction", "stage",
    "state.db", "lock", "project.json",
)  # fmt: skip


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path / "project").make()


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def plain(scenario: Scenario) -> LocalBackend:
    use_case = load_use_case(scenario.project.training / "usecase.toml")
    return LocalBackend(scenario.project, use_case, resolve({}, {}, {}))


def commands(scenario: Scenario) -> list[Callable[[], object]]:
    backend = plain(scenario)
    request = data_request(backend.services.use_case, [str(scenario.folder / "data.csv")])
    return [
        lambda: backend.data.download(request, lambda *_: None),
        lambda: backend.runs.start(RunRequest(force=True), Silent()),
        lambda: backend.runs.list_runs(),
        lambda: backend.infra.plan(),
        lambda: deploy_infra(scenario.project),
    ]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_never_followed(scenario: Scenario, tmp_path: Path, name: str) -> None:
    precious, link = tmp_path / "precious", scenario.project.state / name
    precious.mkdir()
    for file in ("dataset.csv", "1.2.partial", ".tmp-0123456789abcdef/a", "0123456789ab/a", "state.db", "project.json"):
        (precious / file).parent.mkdir(exist_ok=True)
        (precious / file).write_text("{}")
    before = contents(precious)
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(precious / link.name if link.suffix else precious)
    for command in commands(scenario):
        with pytest.raises(MlopsError, match="is a link, which mlops never creates") as caught:
            command()
        assert caught.value.hint.endswith(f"rm {link}")
    (finding,) = [finding for finding in plain(scenario).run_checks() if finding.name == "folder"]
    assert (finding.state, str(link) in finding.message) == (State.FAILURE, True)
    assert contents(precious) == before
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["data", "artifacts", "runs", "endpoint", "children", "reproduction", "state.db"])
def test_a_file_of_the_wrong_kind_is_neither_used_nor_removed(scenario: Scenario, name: str) -> None:
    path = scenario.project.state / name
    if name == "state.db":
        path.unlink()
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
    else:
        shutil.rmtree(path, ignore_errors=True)
        path.write_text("mine")
    for command in commands(scenario):
        with pytest.raises(MlopsError, match=f"{path} is no (file|folder), so mlops did not create it") as caught:
            command()
        assert caught.value.hint.startswith(f"Move it away: mv {path} ")
    assert path in unknown_paths(scenario.project)


def test_another_users_folder_is_used_only_if_it_is_named(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    below = scenario.folder / "notebooks"
    below.mkdir()
    assert find_project(scenario.folder) == find_project(below) == named_project(scenario.folder)
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    for folder, words in ((scenario.folder, "its records would be trusted"), (below, "its scripts would run as you")):
        with pytest.raises(ConfigurationError, match=f"belongs to another user .*: {words}") as caught:
            find_project(folder)
        assert f"mlops --project {scenario.folder} ..." in caught.value.hint
    assert named_project(scenario.folder).root == scenario.folder
    shutil.rmtree(scenario.project.state)
    assert find_project(scenario.folder).root == scenario.folder, (
        "scripts in the current folder are run as they are named"
    )
    with pytest.raises(ConfigurationError, match="above this folder, belongs to another user"):
        find_project(below)
