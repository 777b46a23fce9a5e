"""Every command and option in the texts of the program exists."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mlops_cli.cli import app, register_commands
from mlops_cli.cli.app import os_error_hint
from tests.conftest import ROOT

PACKAGE = ROOT / "mlops_cli"
TEXTS = sorted(path for path in PACKAGE.rglob("*.py") if "starter" not in path.parts)
# A command line of `mlops` up to the end of its words: punctuation ends it.
LINE = re.compile(r"\bmlops((?: (?:'[^']*'|[\w./=~<>-]+|\.\.\.))+)")
# Command lines of other programs, and the name of a holder of the lock.
OTHERS = re.compile(r"\b(?:aws|git|uv|pip|python3?|systemctl|timedatectl)\b.*|run --detach")
# Folders whose errors any command may show.
SHARED = ("data", "backends", "project", "core", "caching")
# What a wheel has.
SHIPPED = ("mlops_cli", "training", "templates")
# Modules of one command alone.
OWN = ("new_project.py", "project_files.py", "scripts_dir.py")
# Of the command line that was given, which has the option then; of every command that asks or spends; of `aws` and pip.
GIVEN = {"--sha256", "--yes", "--yes-cost", "--project", "--output-dir", "--file", "--set", "--run-id"} | {
    "--profile",
    "--region",
    "--editable",
    "--hash",
}


def group() -> Any:
    register_commands()
    return typer.main.get_command(app)


def options_of(command: Any) -> dict[str, bool]:
    """Return the options of a command, and whether each takes a value."""
    return {
        name: not getattr(parameter, "is_flag", False)
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("-")
    } | {"--help": False, "-h": False}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Return the texts of a module without docstrings; X stands for a value that is filled in."""
    tree = ast.parse(path.read_text())
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | docs):
            yield node.lineno, node.value


def wrong_words(words: list[str], root: Any) -> list[str]:
    """Return the options of a command line that its command does not have."""
    command, wrong, is_value = root, [], False
    for word in words:
        name = word.rstrip(".,;:").removesuffix("X") or "X"
        if is_value or name in ("", "..."):
            is_value = False
        elif name.startswith("-"):
            known = options_of(command)
            wrong += [] if name in known else [name]
            is_value = known.get(name, False)
        elif name in getattr(command, "commands", {}):
            command = command.commands[name]
    return wrong


def test_every_command_line_in_a_text_can_be_given() -> None:
    root = group()
    wrong = [
        f"{path.name}, line {line}: {match[0]} has no {' '.join(words)}"
        for path in TEXTS
        for line, text in texts(path)
        for match in LINE.finditer(text)
        if (words := wrong_words(match[1].split(), root))
    ]
    assert wrong == []


def test_a_text_that_several_commands_show_names_an_option_with_its_command() -> None:
    """The command that shows the text may not have the option."""
    alone = [
        f"{path.name}, line {line}: {text}"
        for path in TEXTS
        if path.relative_to(PACKAGE).parts[0] in SHARED and path.name not in OWN
        for line, text in texts(path)
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", OTHERS.sub("", LINE.sub("", text)))
        if " " in text.strip() and not text.startswith(" --") and option not in GIVEN
    ]
    assert alone == []


def test_no_text_names_a_page_that_an_installed_tool_lacks() -> None:
    """The wheel has no docs/: an answer, a help page or a file that `init` writes says itself what is needed."""
    files = [ROOT / ".env.example", *(path for folder in SHIPPED for path in (ROOT / folder).rglob("*"))]
    named = {
        f"{path.relative_to(ROOT)}: {page}"
        for path in files
        if path.is_file() and path.suffix in ("", ".py", ".toml", ".yaml", ".yml", ".txt", ".example")
        for page in re.findall(r"\b(?:docs|guides|reference|development)/[\w/-]*\.md", path.read_text())
    }
    assert named == set()


def test_this_test_finds_wrong_commands_and_options() -> None:
    root = group()
    assert wrong_words(["run", "--source", "x", "--force"], root) == ["--source"]
    assert wrong_words(["--region", "eu-west-1", "run", "--nope,", "then"], root) == ["--nope"]
    assert wrong_words(["models", "show", "3", "--to"], root) == ["--to"]


@pytest.mark.parametrize(
    ("name", "lacking", "right"),
    [
        ("a.csv", os.R_OK, "file readable"),
        ("a.csv", os.W_OK, "file writable"),
        ("a.csv", os.X_OK, "folder writable"),
        (".", os.R_OK, "folder readable"),
        ("missing", os.W_OK, "folder writable"),
    ],
)
def test_a_denied_access_names_the_missing_right(
    name: str, lacking: int, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").touch()
    exists = (tmp_path / name).exists()
    monkeypatch.setattr(os, "access", lambda path, mode: exists and mode != lacking)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / name))
    assert os_error_hint(error) == f"Make the {right} for you, then repeat the command."
