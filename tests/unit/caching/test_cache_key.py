"""The cache key is complete: it has every dependency of a stage's output, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.caching.key import code_inputs
from mlops_cli.core.cache_inputs import digest_cache_inputs
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.hashing import digest_folder, stat_digest


@pytest.fixture
def training(tmp_path: Path) -> Path:
    files = {
        "train.py": "import json\nimport model\n\ndef late():\n    from shapes import deep\n",
        "model.py": "import numpy\n",
        "shapes/__init__.py": "",
        "shapes/deep.py": "import typing\n",
        "other.py": "import model\n",
        "tests/test_gate.py": "import train\nfrom near import x\n",
        "tests/near.py": "x = 1\n",
        "tests/conftest.py": "",
    }
    folder = tmp_path / "training"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def files_of(script: Path) -> set[str]:
    return {name for name in code_inputs(script, {}) if name.startswith("training/")}


def test_modules_of_the_folders_of_shared_code_count_for_the_scripts_that_import_them(tmp_path: Path) -> None:
    training, shared = tmp_path / "training", tmp_path / "src"
    for name, text in {
        "training/train.py": "import shop.features\n",
        "training/preprocess.py": "import json\n",
        "src/shop/__init__.py": "",
        "src/shop/features.py": "import prices\n",
        "src/prices.py": "import nowhere_to_be_found\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    inputs = code_inputs(training / "train.py", {}, code=(shared,))
    assert {name for name in inputs if "/" in name} == {
        "training/train.py", "src/shop/__init__.py", "src/shop/features.py", "src/prices.py"
    }  # fmt: skip
    assert "package shop" not in inputs
    assert inputs["package nowhere_to_be_found"] == "not installed"
    assert [name for name in code_inputs(training / "preprocess.py", {}, code=(shared,)) if "src" in name] == []
    (shared / "prices.py").write_text("import json\n")
    assert code_inputs(training / "train.py", {}, code=(shared,)) != inputs


def test_imports_in_any_place_of_a_file_are_followed(training: Path) -> None:
    expected = {
        "training/train.py",
        "training/model.py",
        "training/shapes/__init__.py",
        "training/shapes/deep.py",
    }
    assert files_of(training / "train.py") == expected


def test_a_packed_file_is_in_the_key_without_its_imports(training: Path) -> None:
    (training / "inference.py").write_text("import falcon\nimport other\n")
    inputs = code_inputs(training / "train.py", {}, ["inference.py", "not_there.py"])
    assert inputs.keys() - code_inputs(training / "train.py", {}) == {"training/inference.py", "training/other.py"}
    (training / "inference.py").write_text("import falcon\nimport other\n\n")
    assert digest_cache_inputs(code_inputs(training / "train.py", {}, ["inference.py"])) != digest_cache_inputs(inputs)


def test_a_gate_depends_on_its_conftest_and_on_both_folders(training: Path) -> None:
    files = files_of(training / "tests" / "test_gate.py")
    assert {
        "training/tests/test_gate.py",
        "training/tests/conftest.py",
        "training/tests/near.py",
        "training/train.py",
    } <= files


@pytest.mark.parametrize("name", ["train.py", "model.py", "shapes/deep.py"])
def test_a_change_in_any_of_them_changes_the_key(training: Path, name: str) -> None:
    before = digest_cache_inputs(code_inputs(training / "train.py", {}))
    (training / name).write_text((training / name).read_text() + "\n# changed\n")
    assert digest_cache_inputs(code_inputs(training / "train.py", {})) != before


def test_a_folder_of_modules_counts_also_without_an_init_file(training: Path) -> None:
    (training / "plain").mkdir()
    (training / "plain" / "util.py").write_text("x = 1\n")
    (training / "train.py").write_text("from plain.util import x\n")
    assert "training/plain/util.py" in files_of(training / "train.py")


def test_a_module_that_is_not_imported_is_not_among_a_scripts_own(training: Path) -> None:
    before = code_inputs(training / "train.py", {})
    (training / "other.py").write_text("changed = True\n")
    assert code_inputs(training / "train.py", {}) == before


def test_versions_of_imported_packages_count_and_the_standard_library_does_not(training: Path) -> None:
    cache_inputs = code_inputs(training / "train.py", {})
    assert cache_inputs["package numpy"].startswith("numpy ")
    assert {name for name in cache_inputs if name.startswith("package ")} == {"package numpy"}


def test_a_package_that_is_not_installed_is_reported(training: Path) -> None:
    (training / "train.py").write_text("import nowhere_to_be_found\n")
    assert code_inputs(training / "train.py", {})["package nowhere_to_be_found"] == "not installed"


def test_a_missing_script_is_named(training: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nope\.py is missing"):
        code_inputs(training / "nope.py", {})


def test_a_script_that_is_no_python_is_named_with_the_line(training: Path) -> None:
    (training / "model.py").write_text("def broken(:\n")
    with pytest.raises(ConfigurationError, match=r"model\.py is not valid Python.*line 1"):
        code_inputs(training / "train.py", {})


def test_order_of_cache_inputs_does_not_matter() -> None:
    assert digest_cache_inputs({"a": "1", "b": "2"}) == digest_cache_inputs({"b": "2", "a": "1"})
    assert digest_cache_inputs({"a": "1"}) != digest_cache_inputs({"a": "2"})


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "model.py").write_text("changed"),
        lambda folder: (folder / "model.py").rename(folder / "renamed.py"),
        lambda folder: (folder / "model.py").unlink(),
        lambda folder: (folder / "new.py").write_text(""),
    ],
)
def test_a_folders_digest_and_its_quick_look_notice_every_change(
    training: Path, change: Callable[[Path], object]
) -> None:
    before = digest_folder(training), stat_digest(training)
    change(training)
    assert digest_folder(training) != before[0]
    assert stat_digest(training) != before[1]


def test_the_imports_of_files_are_cached_by_the_files_content(training: Path) -> None:
    known_imports: dict[str, list[str]] = {}
    first = code_inputs(training / "train.py", known_imports)
    assert sorted(known_imports.values()) == [[], ["json", "model", "shapes"], ["numpy"], ["typing"]]
    assert code_inputs(training / "train.py", known_imports) == first
    (training / "model.py").write_text("import shapes\nimport numpy\n")
    assert ["numpy", "shapes"] not in known_imports.values()
    code_inputs(training / "train.py", known_imports)
    assert ["numpy", "shapes"] in known_imports.values()
