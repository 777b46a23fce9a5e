"""The rules of .gitignore, and the files of a folder that they do not ignore."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Files that Python and file managers create again, ignored even if git tracks them.
MADE_ANEW = ("__pycache__", "*.py[co]", ".DS_Store", ".ipynb_checkpoints")
# Files of tools and editors; not in cache keys, not uploaded, unless git tracks them.
CLUTTER = (
    ".git", ".mlops", ".venv", "venv", "__pycache__", "*.py[co]", "*.egg-info", "build", "dist", "node_modules", ".tox",
    ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".idea", ".vscode", ".DS_Store", "._*",
    "Thumbs.db", "desktop.ini", ".*.sw?", "*~", ".#*", "#*#", ".nfs*", ".*.kate-swp",
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One line of the .gitignore in the folder ``base`` (relative, "" for the root)."""

    base: str
    pattern: re.Pattern[str]
    folders_only: bool
    keeps: bool

    def matches(self, name: str, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        below = name.removeprefix(f"{self.base}/") if self.base else name
        return (below != name or not self.base) and self.pattern.fullmatch(below) is not None


def rules_of(lines: Iterable[str], base: str = "") -> list[Rule]:
    """Return the rules in the lines of a .gitignore."""
    return [_rule(line.rstrip(), base) for line in lines if line.strip() and not line.startswith("#")]


@cache
def _rule(line: str, base: str) -> Rule:
    keeps, text = line.startswith("!"), line.removeprefix("!").removeprefix("\\")
    anchored = "/" in text.rstrip("/")
    expression = _expression(text.strip("/"))
    return Rule(base, re.compile(expression if anchored else f"(?:.*/)?{expression}"), text.endswith("/"), keeps)


def _expression(pattern: str) -> str:
    """Return a git pattern as a regular expression. * and ? match within one folder, ** matches across folders."""
    parts = re.split(r"(\*\*/|/\*\*|\*\*|\*|\?|\[[^\]]+\])", pattern)
    wild = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        wild.get(part)
        or (f"[{'^' + part[2:-1] if part[1] == '!' else part[1:-1]}]" if _is_set(part) else re.escape(part))
        for part in parts
    )


def _is_set(part: str) -> bool:
    return len(part) > 2 and part[0] == "[" and part[-1] == "]"


def is_ignored(rules: list[Rule], name: str, is_folder: bool = False) -> bool:
    """True if the last matching rule ignores the name."""
    last = next((rule for rule in reversed(rules) if rule.matches(name, is_folder)), None)
    return last is not None and not last.keeps


CLUTTER_RULES = rules_of(CLUTTER)
MADE_ANEW_RULES = rules_of(MADE_ANEW)


def walk_files(root: Path, below: str = "", gitignore: bool = True, clutter: Iterable[str] = CLUTTER) -> list[str]:
    """Return the files, relative to ``root``, except ignored files and caches of tools. Follow links."""
    rules = rules_of(clutter)
    if gitignore:
        parents = ["", *(part.as_posix() for part in reversed(Path(below).parents) if part != Path())] if below else []
        rules += [rule for parent in parents for rule in _gitignore(root, parent)]
    return sorted(_below(root, below, rules, gitignore, frozenset()))


def _below(root: Path, folder: str, rules: list[Rule], gitignore: bool, above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(root / folder)
    if real in above or not os.path.isdir(real):  # noqa: PTH112 (a string already)
        return
    rules = rules + (_gitignore(root, folder) if gitignore else [])
    for entry in os.scandir(root / folder):
        name = f"{folder}/{entry.name}" if folder else entry.name
        if is_ignored(rules, name, entry.is_dir()):
            continue
        if entry.is_dir():
            yield from _below(root, name, rules, gitignore, above | {real})
        else:
            yield name


def _gitignore(root: Path, folder: str) -> list[Rule]:
    file = root / folder / ".gitignore"
    return rules_of(file.read_text(encoding="utf-8", errors="replace").splitlines(), folder) if file.is_file() else []
