"""Some of the kills and pairs of the harness. `python -m tests.harness` tries all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.cases import CASES, Case, at_once, begin, prepared, tried
from tests.harness.project import Project

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "most"), [("deploy-infra", 12), ("download-data", 8), ("cleanup", 3)])
def test_a_command_that_is_killed_leaves_nothing_that_cleanup_does_not_find(
    tmp_path: Path, name: str, most: int
) -> None:
    case = CASES[name]
    project = prepared(tmp_path / name, case)
    changes = project.changes(*begin(project, case))
    for point in changes[:: max(1, len(changes) // most)]:
        assert tried(project, case, lambda command, at=point: project(*command, kill_at=at), straight=True) == [], point


@pytest.fixture
def trained(tmp_path: Path) -> Project:
    return prepared(tmp_path / "pair", Case((), (("download-data",), ("run",))))


@pytest.mark.parametrize("command", ["report", "test-endpoint", "deploy-infra", "run"])
def test_a_command_beside_a_cleanup_creates_no_file_again(trained: Project, command: str) -> None:
    for _ in range(3):
        assert at_once(trained, (command, "cleanup")) == []
