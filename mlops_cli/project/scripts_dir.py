"""The folder of the scripts: training/, or the folder that a usecase.toml in the project's root names."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mlops_cli.core.secrets import is_secret_file
from mlops_cli.files.toml_text import parse_toml

DEFAULT = "training"
FILE = "usecase.toml"
KEY = "scripts_dir"
# In shells, workflows and buildspecs these names need no quotes. None is hidden, an option or "..".
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
RESERVED = ("templates", "tests")
LONGEST = 100
CACHE = "__pycache__"


def named_in(file: Path) -> str | None:
    """Return [code] scripts_dir of a usecase.toml, which then belongs in the project's root; None without the key."""
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    try:
        code = parse_toml(text).get("code")
    except ValueError:  # the reader of the whole file reports it
        match = re.search(rf"""^\s*{KEY}\s*=\s*["']([^"'\n]*)""", text, re.MULTILINE)
        return match[1] if match else None
    value: Any = code.get(KEY) if isinstance(code, dict) else None
    return value if isinstance(value, str) else None if value is None else ""


def form_problem(value: object) -> str:
    """Return the problem of a folder's name; "" if there is none."""
    expected = f"is {value!r}, expected a folder of the project, such as"
    if not isinstance(value, str):
        return f'{expected} "ml"'
    parts = value.removesuffix("/").split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        return f'{expected} "ml" or "src/ml": letters, digits, _, . and -, no folder that is hidden or above it'
    if len(value) > LONGEST:
        return f"has {len(value):,} characters, expected at most {LONGEST}"
    if parts[0].lower() == RESERVED[0] or parts[-1].lower() == RESERVED[1]:
        return f"is {value!r}, which has another meaning: templates/ is for AWS, tests/ for the gates"
    if is_secret_file(f"{value}/train.py") or CACHE in parts:
        return f"is {value!r}, a name of secrets or caches, which are not sent to AWS"
    return ""


def folder_problem(root: Path, value: str) -> str:
    """Return the problem of the folder itself; "" if there is none."""
    folder = root / value
    if folder.resolve() != root.resolve() / value.removesuffix("/"):
        return f"is {value!r}, which is a link or below one, expected a folder"
    if not folder.is_dir():
        return f"is {value!r}, and {root} has no such folder"
    return ""


def scripts_dir(root: Path) -> str:
    """Return the folder of a project's scripts, relative to ``root``. Never return an invalid one."""
    value = named_in(root / FILE)
    return PurePosixPath(value).as_posix() if value and not form_problem(value) else DEFAULT
