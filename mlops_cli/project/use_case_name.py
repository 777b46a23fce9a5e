"""The name of a use case, also while the rest of its usecase.toml cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

from mlops_cli.files.toml_text import parse_toml
from mlops_cli.project.settings.catalog import NAME

# In a file that is no TOML: a line of its own before the first table.
_LINE = re.compile(r"""^\s*name\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)')\s*(?:#.*)?$""", re.MULTILINE)
_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


def name_in(file: Path) -> str:
    """Return the name in a usecase.toml; "" if there is none, several, or one that is not valid."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
    try:
        names = {parse_toml(text).get("name")}
    except ValueError:
        names = {"".join(match.groups("")) for match in _LINE.finditer(_TABLE.split(text)[0])}
    name = names.pop() if len(names) == 1 else None
    return name if isinstance(name, str) and re.fullmatch(NAME, name) else ""
