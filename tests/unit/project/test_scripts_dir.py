"""A scripts' folder with another name than training/: how it is found, and the refused names."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.cache_inputs import code_files
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.paths import Project, find_project, named_project
from mlops_cli.project.usecase.reader import load_use_case
from tests.unit.project.test_usecase import FEWEST


def write_use_case(root: Path, value: str) -> Path:
    file, (head, table, rest) = root / "usecase.toml", FEWEST.partition("[")
    file.write_text(f"{head}[code]\nscripts_dir = {value}\n{table}{rest}")
    return file


@pytest.mark.parametrize("folder", ["ml", "src/ml", "pipelines/churn-2/scripts_v1.0"])
def test_the_project_is_found_from_every_folder_of_it(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder / "tests").mkdir(parents=True)
    (tmp_path / "training").mkdir()
    file = write_use_case(tmp_path, f'"{folder}/"')
    for start in (tmp_path, tmp_path / folder / "tests", tmp_path / "training"):
        assert find_project(start) == Project(tmp_path)
    project = named_project(tmp_path)
    assert (project.training, project.use_case_file) == (tmp_path / folder, file)
    use_case = load_use_case(file)
    assert (use_case.root, use_case.prefix) == (tmp_path, f"{folder}/")


def test_without_the_setting_the_scripts_are_in_training(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    file = tmp_path / "training" / "usecase.toml"
    file.write_text(FEWEST)
    for start in (tmp_path, tmp_path / "training"):
        assert find_project(start) == Project(tmp_path)
    assert Project(tmp_path).training == tmp_path / "training"
    assert load_use_case(file).root == tmp_path


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('"../ml"', "expected a folder of the project"),
        ('"ml/../.."', "expected a folder of the project"),
        ('"/tmp"', "expected a folder of the project"),
        ('"."', "expected a folder of the project"),
        ('""', "expected a folder of the project"),
        ('".mlops"', "expected a folder of the project"),
        ('"ml/.mlops"', "expected a folder of the project"),
        ('".git"', "expected a folder of the project"),
        ('"-r"', "expected a folder of the project"),
        ('"my scripts"', "expected a folder of the project"),
        ('"ml;ls"', "expected a folder of the project"),
        ('"mäl"', "expected a folder of the project"),
        ("5", "expected a folder of the project"),
        ('["ml"]', "expected a folder of the project"),
        ('"templates"', "has another meaning"),
        ('"src/tests"', "has another meaning"),
        ('"Templates"', "has another meaning"),
        ('"secrets"', "secrets or caches, which are not sent to AWS"),
        ('"src/credentials/ml"', "secrets or caches, which are not sent to AWS"),
        ('"x.pem"', "secrets or caches, which are not sent to AWS"),
        ('"ml/__pycache__"', "secrets or caches, which are not sent to AWS"),
        (f'"{"a" * 300}"', "has 300 characters, expected at most 100"),
        ('"nowhere"', "has no such folder"),
        ('"file.py"', "has no such folder"),
        ('"outside"', "is a link"),
        ('"outside/below"', "is a link"),
        ('"inside"', "is a link"),
    ],
)
def test_a_folder_that_cannot_hold_the_scripts_is_refused(tmp_path: Path, value: str, problem: str) -> None:
    root = tmp_path / "project"
    for folder in (root / "ml", tmp_path / "elsewhere" / "below", root / "templates"):
        folder.mkdir(parents=True)
    (root / "file.py").touch()
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (root / "inside").symlink_to("ml")
    file = write_use_case(root, value)
    with pytest.raises(ConfigurationError, match=problem):
        load_use_case(find_project(root).use_case_file)
    assert Project(root).training in (root / "training", root / value.strip('"')), "never a folder above"
    assert find_project(root).use_case_file == file


def test_two_use_cases_in_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "ml").mkdir()
    file = write_use_case(tmp_path, '"ml"')
    (tmp_path / "ml" / "usecase.toml").write_text(FEWEST)
    with pytest.raises(ConfigurationError, match=r"a second usecase\.toml, ml/usecase\.toml"):
        load_use_case(file)
    (tmp_path / "training" / "usecase.toml").write_text(FEWEST)
    with pytest.raises(ConfigurationError, match=r"has two use cases, usecase\.toml and training/usecase\.toml"):
        find_project(tmp_path)


def test_a_usecase_that_does_not_say_where_the_scripts_are_is_named(tmp_path: Path) -> None:
    (tmp_path / "usecase.toml").write_text(FEWEST)
    for find in (find_project, named_project):
        with pytest.raises(ConfigurationError, match=r'usecase\.toml in it has no scripts_dir = "FOLDER" in \[code\]'):
            find(tmp_path)


def test_a_usecase_that_is_no_toml_is_still_the_projects(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    file = write_use_case(tmp_path, '"ml"')
    file.write_text(file.read_text() + "= = =\n")
    assert find_project(tmp_path / "ml") == Project(tmp_path)
    assert Project(tmp_path).training == tmp_path / "ml"
    with pytest.raises(ConfigurationError, match="is not valid TOML"):
        load_use_case(file)


def test_the_code_among_cache_inputs_is_that_of_every_folder() -> None:
    code = {"ml/train.py": "a", "src/shop/prices.py": "b", "my src/x.py": "c"}
    others = {"package shop: shop/a.py": "d", "the file src/x.csv": "e", "column a/b": "f", "epochs": "2"}
    assert code_files({**code, **others, "variable a/b": "g", "secret a/b": "h"}) == code
