"""The instances in a user's file: JSON, JSON Lines, or one text per line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mlops_cli.errors import ConfigurationError

# Not splitlines: it also ends a line at nine further characters, common in the middle of texts.
_LINE_END = re.compile(r"\r\n|\n|\r")


def instances_from(path: Path) -> list[Any]:
    """Return the instances in a file. Raise ConfigurationError, with the line number, if the file is malformed."""
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        instances = _json_instances(path, text)
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        instances = _json_lines(path, text)
    else:
        instances = [line for line in _LINE_END.split(text) if line.strip()]
    if not instances:
        raise ConfigurationError(f"{path} has nothing to predict.", "Put one text on each line, or JSON instances.")
    return instances


def _text_of(path: Path) -> str:
    """Return the file's text without a byte order mark; keep its line ends."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {path}.", "Check the path after --file.") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8: {error}.", "Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Check the path after --file.") from None


def _json_instances(path: Path, text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "Fix it and try again; if each line is a value of its own, call the file .jsonl."
        raise ConfigurationError(f"{path} is not valid JSON: {error}.", hint) from None
    instances = document.get("instances") if isinstance(document, dict) else document
    if not isinstance(instances, list):
        raise ConfigurationError(f"{path} has no list of instances.", 'Write {"instances": [...]} or a plain list.')
    return instances


def _json_lines(path: Path, text: str) -> list[Any]:
    instances = []
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if not line.strip():
            continue
        try:
            instances.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"{path} line {number} is not valid JSON: {error}.", "Write one JSON value on each line."
            ) from None
    return instances
