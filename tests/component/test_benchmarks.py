"""The commands of docs/development/benchmarks.md exist, and need no private data."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.comments import some_texts, write_comments
from tests.conftest import ROOT

COMMANDS = re.findall(
    r"`python -m (benchmarks\.\w+)([^`]*)`", (ROOT / "docs" / "development" / "benchmarks.md").read_text()
)
CSV = "id,comment_text,toxic\n1,a,0\n2,b,1\n"


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_page_has_a_command_for_each_benchmark() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "def main" in path.read_text()}
    assert {module.removeprefix("benchmarks.") for module, _ in COMMANDS} == modules


@pytest.mark.parametrize("module", sorted({module for module, _ in COMMANDS} - {"benchmarks.orchestration"}))
def test_each_knows_the_options_that_the_page_names(module: str) -> None:
    done = benchmark(module, "--help")
    assert done.returncode == 0, done.stderr
    options = {word for name, line in COMMANDS if name == module for word in shlex.split(line) if word[:2] == "--"}
    assert {option for option in options if option not in done.stdout} == set()


def test_the_sample_takes_the_place_of_comments_that_are_not_here(tmp_path: Path) -> None:
    done = benchmark("benchmarks.quality", "--only", "tfidf", "--seeds", "1", "--sample-rows", "600")
    assert done.returncode == 0, done.stderr
    assert "600 rows of the built-in sample" in done.stdout
    assert "| TF-IDF + LR | " in done.stdout
    assert "enriched" not in done.stdout, "the sample has no such rows"
    assert len(set(some_texts(None, 300, 100, tmp_path))) > 50


@pytest.mark.parametrize("packed", [True, False])
def test_comments_are_taken_from_a_folder_or_a_file(packed: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    name, content = ("train.csv.gz", gzip.compress(CSV.encode())) if packed else ("train.csv", CSV.encode())
    (source / name).write_bytes(content)
    assert write_comments(source, 0, tmp_path / "a") == {"1", "2"}
    (source / "extra.csv").write_text(CSV.replace("1,a", "3,c"))
    assert write_comments(source, 0, tmp_path / "b") == {"1", "2"}
    assert (tmp_path / "b" / "extra.csv").is_file()
    assert write_comments(source / name, 0, tmp_path / "c") == {"1", "2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmarks.quality", "--source", "nowhere"], "nowhere holds no train.csv"),
        (["benchmarks.training", "--source", "nowhere"], "nowhere holds no train.csv"),
        (["benchmarks.serving", "--model", "nowhere.tar.gz"], "There is no model nowhere.tar.gz"),
        (["benchmarks.serving", "--bilstm", "--source", "nowhere"], "nowhere holds no train.csv"),
    ],
)
def test_a_missing_file_is_reported_without_a_traceback(arguments: list[str], message: str) -> None:
    done = benchmark(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_or_other_comments_are_reported(tmp_path: Path) -> None:
    (tmp_path / "train.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(SystemExit, match="damaged"):
        write_comments(tmp_path, 0, tmp_path / "a")
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(SystemExit, match="no column id, comment_text"):
        write_comments(tmp_path, 0, tmp_path / "b")
