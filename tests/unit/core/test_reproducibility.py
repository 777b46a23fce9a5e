"""The record of a run's environment, and the comparison of two runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops_cli.core.models.reproducibility import InputChange, compare, flatten, manifest
from mlops_cli.core.runs import Run, new_run
from mlops_cli.project.environment_info import environment_info


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_record_has_the_commit_and_the_changed_files(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert environment_info(repository)["git"] == {"commit": commit, "dirty": False, "diff_sha256": ""}
    (repository / "file").write_text("2\n")
    first = environment_info(repository)["git"]
    (repository / "file").write_text("3\n")
    second = environment_info(repository)["git"]
    assert (first["commit"], first["dirty"], len(first["diff_sha256"])) == (commit, True, 64)
    assert first["diff_sha256"] != second["diff_sha256"]


def test_inside_a_hook_of_another_repository_the_projects_own_repository_is_read(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a hook, git's environment variables name the hook's own repository and index."""
    info, other_folder = environment_info(repository)["git"], tmp_path_factory.mktemp("other")
    git(other_folder, "init", "-q")
    git(other_folder, "commit", "-q", "--allow-empty", "-m", "another")
    monkeypatch.setenv("GIT_DIR", str(other_folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other_folder / "index"))
    assert environment_info(repository)["git"] == info


def test_a_file_that_git_does_not_know_makes_it_dirty(repository: Path) -> None:
    (repository / "new").write_text("1\n")
    assert environment_info(repository)["git"]["dirty"] is True


def test_without_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    info = environment_info(tmp_path)
    assert info["git"] is None
    assert info["machine"]["cpus"] >= 1


def made(output: str = "m" * 64, epochs: str = "1", auc: float = 0.5) -> Run:
    run = new_run("r1", {"train.epochs": epochs})
    run.stage("preprocess").output = "p" * 64
    train = run.stage("train")
    train.output, train.cache_inputs = output, {"epochs": epochs}
    train.detail = {"metrics": {"test": {"macro": {"roc_auc": auc}}}}
    return run


def test_the_same_is_reported_to_be_the_same() -> None:
    comparison = compare(made(), made())
    assert comparison.same
    assert comparison.metrics == ()


def test_a_comparison_has_inputs_outputs_and_metrics() -> None:
    comparison = compare(made(), made("n" * 64, "2", 0.75))
    assert not comparison.same
    assert comparison.stages[1].input_changes == (InputChange("epochs", "1", "2"),)
    assert comparison.metrics == (InputChange("test macro roc_auc", 0.5, 0.75),)


def test_equal_metrics_of_different_models_are_no_equality() -> None:
    assert not compare(made(), made(auc=0.75)).same


def test_how_long_it_took_does_not_count() -> None:
    slow = made()
    slow.stage("train").detail["metrics"]["seconds"] = 60
    assert compare(made(), slow, "test").same


def test_another_machine_is_named_where_both_are_known() -> None:
    before, after = made(), made()
    after.stage("train").detail["machine"] = {"instance_type": "ml.c5.xlarge"}
    assert compare(before, after).stages[1].input_changes == ()
    before.stage("train").detail["machine"] = {"instance_type": "ml.m5.xlarge"}
    comparison = compare(before, after)
    assert comparison.stages[1].input_changes == (InputChange("machine instance_type", "ml.m5.xlarge", "ml.c5.xlarge"),)
    assert comparison.same


def test_metrics_that_came_and_went() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": 2}) == {"a b": 1, "d": 2}
    changed = made()
    changed.stage("train").detail = {}
    assert compare(made(), changed).metrics == (InputChange("test macro roc_auc", 0.5, None),)


def test_a_manifest_holds_cache_inputs_and_outputs() -> None:
    result = manifest(made(), {"git": None})
    assert result["stages"]["train"] == {"cache_inputs": {"epochs": "1"}, "output": "m" * 64}
    assert (result["run"], result["git"]) == ("r1", None)
