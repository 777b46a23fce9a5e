"""Other entries of .mlops/ in the place of mlops' files: links, and files of the wrong kind."""

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
from tests.component.local.ground import Ground, Silent

LINKS = (
    "", "data", "data/partial", "artifacts", "artifacts/train", "artifacts/train/.checkpoints", "runs", "runs/0a1b",
    "endpoint", "endpoint/models", "endpoint/observed", "endpoint/server.log", "children", "reproduction", "stage",
    "state.db", "lock", "project.json",
)  # fmt: skip


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "project").make()


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def plain(ground: Ground) -> LocalBackend:
    use_case = load_use_case(ground.project.training / "usecase.toml")
    return LocalBackend(ground.project, use_case, resolve({}, {}, {}))


def commands(ground: Ground) -> list[Callable[[], object]]:
    backend = plain(ground)
    request = data_request(backend.services.use_case, [str(ground.folder / "data.csv")])
    return [
        lambda: backend.data.download(request, lambda *_: None),
        lambda: backend.runs.start(RunRequest(force=True), Silent()),
        lambda: backend.runs.list_runs(),
        lambda: backend.infra.plan(),
        lambda: deploy_infra(ground.project),
    ]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_never_followed(ground: Ground, tmp_path: Path, name: str) -> None:
    precious, link = tmp_path / "precious", ground.project.state / name
    precious.mkdir()
    for file in ("dataset.csv", "1.2.partial", ".tmp-0123456789abcdef/a", "0123456789ab/a", "state.db", "project.json"):
        (precious / file).parent.mkdir(exist_ok=True)
        (precious / file).write_text("{}")
    before = contents(precious)
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(precious / link.name if link.suffix else precious)
    for command in commands(ground):
        with pytest.raises(MlopsError, match="is a link, which mlops never creates") as caught:
            command()
        assert caught.value.hint.endswith(f"rm {link}")
    (finding,) = [finding for finding in plain(ground).run_checks() if finding.name == "folder"]
    assert (finding.state, str(link) in finding.message) == (State.FAILURE, True)
    assert contents(precious) == before
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["data", "artifacts", "runs", "endpoint", "children", "reproduction", "state.db"])
def test_a_file_of_the_wrong_kind_is_neither_used_nor_removed(ground: Ground, name: str) -> None:
    path = ground.project.state / name
    if name == "state.db":
        path.unlink()
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
    else:
        shutil.rmtree(path, ignore_errors=True)
        path.write_text("mine")
    for command in commands(ground):
        with pytest.raises(MlopsError, match=f"{path} is no (file|folder), so mlops did not create it") as caught:
            command()
        assert caught.value.hint.startswith(f"Move it away: mv {path} ")
    assert path in unknown_paths(ground.project)


def test_what_belongs_to_another_user_is_not_taken_unless_it_is_named(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = ground.folder / "notebooks"
    below.mkdir()
    assert find_project(ground.folder) == find_project(below) == named_project(ground.folder)
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    for folder, words in ((ground.folder, "its records would be trusted"), (below, "its scripts would run as you")):
        with pytest.raises(ConfigurationError, match=f"belongs to another user .*: {words}") as caught:
            find_project(folder)
        assert f"mlops --project {ground.folder} ..." in caught.value.hint
    assert named_project(ground.folder).root == ground.folder
    shutil.rmtree(ground.project.state)
    assert find_project(ground.folder).root == ground.folder, "scripts in the current folder are run as they are named"
    with pytest.raises(ConfigurationError, match="above this folder, belongs to another user"):
        find_project(below)
