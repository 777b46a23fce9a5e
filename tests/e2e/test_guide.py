"""Pages of docs/ are executed block by block.

Commands are run and their output is compared, changes are applied, and quoted lines must be in their file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port
from tests.e2e.test_readme import check, masked

PAGES = (
    "guides/your-own-use-case.md",
    "reference/frameworks.md",
    "guides/forecast.md",
    "guides/images.md",
    "guides/text.md",
    "guides/other-tools.md",
    "reference/drift.md",
    "reference/scripts.md",
)
PYTORCH = "guides/text.md"
each_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def blocks(page: str, section: str = "") -> list[tuple[str, str, str]]:
    """Return the fenced blocks:

    the file in a bold line before it, language ("" for a session), content. ``section``: the title of the only part to
    read.
    """
    text = text_of(page)
    if section:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"(?:^\*\*(\S+)\*\*\n\n)?^```(\w*)\n(.*?)^```$", text, re.S | re.M)


def write_files(page: str, folder: Path, section: str = "") -> None:
    """Write the complete files of the page, and apply its changes."""
    for name, language, text in blocks(page, section):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        elif language == "diff":
            apply(text, folder)


def apply(diff: str, folder: Path) -> None:
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=folder, input=diff.encode(), check=True)


class Reader:
    """A user who follows the guide in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "mlops").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mlops_cli "$@"\n')
        (programs / "mlops").chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "ENDPOINT_PORT": str(free_port())}

    def session(self, text: str) -> None:
        parts = re.split(r"^\$ (.*)\n", text, flags=re.M)
        for command, shown in zip(parts[1::2], parts[2::2], strict=True):
            if command.startswith("cd "):
                self.folder /= command.removeprefix("cd ")
            elif command.startswith("export "):
                self.environment.update([command.removeprefix("export ").split("=", 1)])
            else:
                check(command, masked(self.run(command)), masked(shown))

    def run(self, command: str) -> str:
        if re.match(r"mlops approve \w", command):
            newest = self.run("mlops runs --json")
            run_id = re.search(r'"id": "(\w+)"', newest)[1]
            command = re.sub(r"^mlops approve \w+", f"mlops approve {run_id}", command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == 0, f"{command}\n{out}\n{err}"
        return out

    def diff(self, text: str) -> None:
        apply(text, self.folder)

    def json(self, text: str) -> None:
        json.loads(text)

    def toml(self, text: str) -> None:
        assert text in (self.folder / "training" / "usecase.toml").read_text(), "not what usecase.toml says"


@pytest.mark.slow
@each_page
def test_the_page_is_true(page: str, tmp_path: Path) -> None:
    if page == PYTORCH:
        pytest.importorskip("torch", reason="PyTorch is gigabytes; CI does without it")
        pytest.importorskip("transformers", reason="it comes with the extra: pip install -e '.[huggingface]'")
    reader = Reader(tmp_path)
    try:
        for name, language, text in blocks(page):
            if name:
                (reader.folder / name).write_text(text)
                continue
            {"": reader.session, "diff": reader.diff, "toml": reader.toml, "json": reader.json}[language](text)
    finally:
        if reader.folder != tmp_path:
            reader.run("mlops cleanup --yes")


@each_page
def test_every_block_is_of_a_kind_that_is_carried_out(page: str) -> None:
    assert {language for name, language, _ in blocks(page) if not name} <= {"", "diff", "toml", "json"}
    assert text_of(page).count("```") == 2 * len(blocks(page))


@each_page
def test_the_code_of_the_page_is_in_order(page: str, tmp_path: Path) -> None:
    paths = []
    for number, (name, _, text) in enumerate(blocks(page)):
        if name.endswith(".py"):
            paths.append(tmp_path / f"{number}" / Path(name).name)
            paths[-1].parent.mkdir()
            paths[-1].write_text(text)
    for arguments in (["check", "--select", "E,F,W,I,UP,B,SIM"], ["format", "--check"]) if paths else ():
        ruff = [sys.executable, "-m", "ruff", *arguments, "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*ruff, *paths], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_is_one_page() -> None:
    assert len(text_of(PAGES[0]).splitlines()) < 200


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["a", "b"], ["a"]),
        (["a", "b"], ["b"]),
        (["a", "b"], ["a", "c"]),
        (["a", "b", "c"], ["...", "b"]),
        (["a", "b", "c"], ["...", "c", "...", "b"]),
        (["a", "b", "c"], ["a", "...", "d"]),
    ],
)
def test_a_page_that_is_not_true_would_be_seen(lines: list[str], shown: list[str]) -> None:
    with pytest.raises(AssertionError):
        check("x", lines, shown)


def test_three_dots_stand_for_any_lines() -> None:
    check("x", ["a", "b", "c", "d"], ["a", "...", "c", "..."])
    check("x", ["a"], ["...", "a", "..."])
