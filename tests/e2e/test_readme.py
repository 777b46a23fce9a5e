"""The README's session is replayed with some of the real comments. Its output must be the same, except for numbers."""

from __future__ import annotations

import csv
import gzip
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli

README = (ROOT / "README.md").read_text()
# Every sixth comment: the training is short, and the model is within all limits.
STEP = 6


def session() -> list[tuple[str, list[str]]]:
    """Return the commands of the README's session, each with its lines of output."""
    block = re.search(r"<!-- session.*?-->\n```\n(.*?)```", README, re.S)
    assert block, "the README has no session"
    parts = re.split(r"^\$ mlops (.*)\n", block[1], flags=re.M)
    return [(command, masked(shown)) for command, shown in zip(parts[1::2], parts[2::2], strict=True)]


def masked(text: str) -> list[str]:
    """Return the lines without times, ids, digests, numbers, spaces and progress."""
    lines = [line for line in text.splitlines() if not re.search(r"\d+/\d+ ", line)]
    text = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8,12}\b", "ID", "\n".join(lines))
    text = re.sub(r"\d[\d,.:]*", "N", text).replace("N min N s", "N s")
    folded = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in folded if line and not re.match(r"N (check|sample|download)", line)]


def check(command: str, lines: list[str], shown: list[str]) -> None:
    """Check that the command prints the shown lines in order; "..." stands for any lines."""
    remaining, skipping = lines, False
    for line in shown:
        if line == "...":
            skipping = True
            continue
        assert line in remaining if skipping else remaining[:1] == [line], (
            f"{command}: {line!r} is not in\n" + "\n".join(remaining)
        )
        remaining, skipping = remaining[remaining.index(line) + 1 :], False
    assert skipping or remaining == [], f"{command} says more: {remaining}"


@pytest.mark.slow
def test_the_session_is_true(jigsaw: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "training", tmp_path / "training", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "jigsaw").mkdir()
    for name in ("train.csv.gz", "extra.csv.gz"):
        copy_rows(jigsaw / name, tmp_path / "jigsaw" / name)
    cli = Cli(tmp_path)
    cli.accept_slow_answers()
    try:
        for command, shown in session():
            command = re.sub(r"^approve \w+", lambda _: f"approve {cli.json('runs')[0]['id']}", command)
            check(command, masked(cli(*shlex.split(command))), shown)
    finally:
        cli("cleanup", "--yes")


def copy_rows(source: Path, copy: Path) -> None:
    with gzip.open(source, "rt", newline="") as rows, gzip.open(copy, "wt", newline="") as chosen:
        header, *lines = csv.reader(rows)
        csv.writer(chosen).writerows([header, *lines[::STEP]])


def test_the_session_is_complete_from_download_to_cleanup() -> None:
    names = [command.split()[0] for command, _ in session()]
    assert names[0] == "download-data"
    assert {"download-data", "run", "approve", "test-endpoint", "cleanup"} <= set(names)


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", README)
    assert [name for name in named if not name.startswith("http") and not (ROOT / name).exists()] == []
