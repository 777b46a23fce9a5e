"""The project's .env file with lines NAME=VALUE."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.catalog import SETTINGS

PREFIX = "MLOPS_"
# How much a name is like that of a setting, from 0 to 1.
NEAR, VERY_NEAR = 0.8, 0.87


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the values in a file of lines NAME=VALUE. If a name occurs several times, the last value counts.

    Raise ConfigurationError for any other line.
    """
    return dict(_dotenv_lines(path))


def repeated_names(dotenv_path: Path) -> list[str]:
    """Return the names that occur several times in .env: only the last value counts."""
    values: dict[str, set[str]] = {}
    for name, value in _dotenv_lines(dotenv_path):
        values.setdefault(name, set()).add(value)
    return [name for name, different in values.items() if len(different) > 1]


def _dotenv_lines(path: Path) -> list[tuple[str, str]]:
    """Return the names with their values, in the order of the lines, without empty values."""
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder.", "Remove it, or write the settings into a file of this name.")
    if not path.is_file():
        return []
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}).", "Save the file as UTF-8.") from None
    if "\0" in text:
        raise ConfigurationError(f"{path} holds NUL characters; it may be UTF-16.", "Save the file as UTF-8.")
    lines: list[tuple[str, str]] = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            # The line itself is not shown: it may contain a secret.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string[:blank].count("\n")
            raise ConfigurationError(
                f"{path}, line {line}, is not of the form NAME=VALUE.",
                "Write the line so; a value that begins with a quote ends with the same one.",
            )
        if binding.key and binding.value:
            lines.append((binding.key, binding.value))
    return lines


def misspelled_names(dotenv_path: Path, others: Iterable[str] = ()) -> dict[str, str]:
    """Return names in .env that almost match a setting, with that setting. ``others``: known other names."""
    names = [name for setting in SETTINGS for name in setting.names]
    return _near((name for name in read_dotenv(dotenv_path) if name not in others), names, NEAR)


def misspelled_variables(environment: Iterable[str]) -> dict[str, str]:
    """Return names of environment variables, MLOPS_..., that almost match a setting, with that setting.

    A step on AWS has further variables with this prefix, which match no setting so closely.
    """
    names = [name for setting in SETTINGS for name in setting.names if name.startswith(PREFIX)]
    return _near((name for name in environment if name.startswith(PREFIX)), names, VERY_NEAR)


def _near(unknown: Iterable[str], names: list[str], cutoff: float) -> dict[str, str]:
    from difflib import get_close_matches

    near = {name: get_close_matches(name.upper(), names, 1, cutoff) for name in unknown if name not in names}
    return {name: matches[0] for name, matches in near.items() if matches}
