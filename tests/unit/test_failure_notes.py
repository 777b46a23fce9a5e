"""Notes on a failed script or package: the missing module, and its location in the project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlops_cli.backends.local.stages.failure_notes import package_notes, script_notes
from mlops_cli.project.paths import Project

ERROR = "  File train.py, line 3\nModuleNotFoundError: No module named '{}'\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("src/shop/__init__.py", "helpers.py", "training/features.py", ".venv/hidden.py", "training/train.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "training" / "usecase.toml").write_text('name = "shop"\n')
    return Project(tmp_path)


def install(name: str) -> str:
    return f"Install the package of the module {name} for {sys.executable}, and add it to training/requirements.txt."


@pytest.mark.parametrize(
    ("module", "note"),
    [
        ("shop", 'shop is in src/: name it in usecase.toml, under [code]: path = ["src"].'),
        ("helpers", "helpers is beside training/: move it there, or into a folder that [code] path names."),
        ("pandas", install("pandas")),
        ("hidden", install("hidden")),
    ],
)
def test_the_note_on_a_missing_module_names_its_location_or_its_package(
    project: Project, module: str, note: str
) -> None:
    assert script_notes(ERROR.format(module) * 2, project) == f"\n{note}"


@pytest.mark.parametrize("output", ["ValueError: no module", ERROR.format("shop.other"), ""])
def test_any_other_failure_has_no_note(project: Project, output: str) -> None:
    assert script_notes(output, project) == package_notes(output, project) == ""


@pytest.mark.parametrize(
    ("module", "note"),
    [
        ("features", 'The model package has no features.py: add it in train.py with pack_code("features.py").'),
        ("shop", 'The model package has no shop: add it in train.py with pack_code("shop").'),
        ("pandas", install("pandas")),
    ],
)
def test_the_note_on_a_model_package_says_to_pack_or_install_the_module(
    project: Project, module: str, note: str
) -> None:
    assert package_notes(ERROR.format(module), project) == f"\n{note}"


def test_a_module_of_the_repository_above_the_project_is_found_there(tmp_path: Path) -> None:
    for name in (".git/HEAD", "src/shop/__init__.py", "models/churn/training/usecase.toml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    note = 'shop is in ../../src/: name it in usecase.toml, under [code]: path = ["../../src"].'
    assert script_notes(ERROR.format("shop"), Project(tmp_path / "models" / "churn")) == f"\n{note}"


def test_types_that_skops_does_not_know_are_named_with_the_argument_that_trusts_them(project: Project) -> None:
    output = "UntrustedTypesFoundException: Untrusted types found in the file: ['a.B', 'c.D']. (code/inference.py)"
    assert "name them in inference.py: load_skops(..., trusted=['a.B', 'c.D'])." in package_notes(output, project)
