"""Read instances from a user's file: JSON, JSON Lines, a table (CSV, Parquet), a text per line, or a binary file."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops_cli.data.tables.columns import column
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.json_text import parse_json

# Not splitlines, which also ends lines at nine other characters that occur inside texts.
_LINE_END = re.compile(r"\r\n|\n|\r")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
NUMBERS = ("number", "label")
OTHER_FORMATS = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")


def instances_from(path: Path, columns: Mapping[str, str], examples: Sequence[Any]) -> list[Any]:
    """Return the instances in a file. Raise MlopsError, with the line number, if the file is malformed.

    ``columns``: the schema of a table. ``examples``: instances. If all are texts, a table's instances are those of its
    only text column. If all are binary ({"b64": ...}), a file that is neither a table nor JSON is one instance.
    """
    kinds = {name: column(spec).kind for name, spec in columns.items()}
    if path.suffix.lower() not in OTHER_FORMATS and examples and all(map(_is_binary, examples)):
        return [{"b64": base64.b64encode(_content_of(path)).decode()}]
    are_texts = bool(examples) and all(isinstance(example, str) for example in examples)
    if path.suffix.lower() == ".parquet":
        rows = _parquet_rows(path, kinds)
        return _texts(path, rows, kinds) if are_texts else rows
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        instances = _json_instances(path, text)
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        instances = _json_lines(path, text)
    elif path.suffix.lower() == ".csv":
        instances = _table_rows(path, text, kinds)
        instances = _texts(path, instances, kinds) if are_texts else instances
    else:
        instances = [line for line in _LINE_END.split(text) if line.strip()]
    if not instances:
        raise ConfigurationError(
            f"{path} has nothing to predict.", "Put one text on each line, JSON instances, or a table with a header."
        )
    return instances


def _is_binary(example: Any) -> bool:
    """Return True for the form in which TensorFlow Serving takes bytes."""
    return isinstance(example, dict) and list(example) == ["b64"]


def _text_of(path: Path) -> str:
    """Return the file's text without a byte order mark. Keep its line ends."""
    try:
        return _content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not UTF-8: {error}.",
            "Save a text or a table as UTF-8. A picture or another binary file is an instance if usecase.toml has such "
            'ones under [endpoint] examples: {"b64": ...}.',
        ) from None


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {path}.", "Check the path after --file.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Check the path after --file.") from None


def _json_instances(path: Path, text: str) -> list[Any]:
    try:
        document = parse_json(text)
    except ValueError as error:
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
            instances.append(parse_json(line))
        except ValueError as error:
            raise ConfigurationError(
                f"{path} line {number} is not valid JSON: {error}.", "Write one JSON value on each line."
            ) from None
    return instances


def _table_rows(path: Path, text: str, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows as objects with the header's names. A cell without a value is null."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, Any]] = []
    try:
        header = next(reader, [])
        _require_known(path, header, kinds)
        for cells in filter(None, reader):
            if len(cells) != len(header):
                message = f"{path} line {reader.line_num} has {len(cells)} cells, and the header {len(header)}."
                raise ConfigurationError(message, "Fix the line.")
            rows.append({name: _value(cell, kinds.get(name)) for name, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise ConfigurationError(f"{path} line {reader.line_num} is not CSV: {error}.", "Fix the line.") from None
    return rows


def _parquet_rows(path: Path, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file as a CSV with the same texts would have them."""
    from mlops_cli.data.tables.record_readers import ParquetReader

    _content_of(path)
    reader = ParquetReader(str(path), path)
    _require_known(path, reader.names, kinds)
    instances = [
        {name: _value(cell, kinds.get(name)) for name, cell in zip(reader.names, row, strict=True)}
        for block in reader.blocks()
        for row in block.rows
    ]
    if not instances:
        raise ConfigurationError(f"{path} has nothing to predict.", "Name a file with rows.")
    return instances


def _require_known(path: Path, header: list[str], kinds: Mapping[str, str]) -> None:
    """Raise ConfigurationError if the first line names no column of the schema."""
    if header and kinds and not kinds.keys() & set(header):
        raise ConfigurationError(
            f"The first line of {path} names no column of [data.columns]: {', '.join(kinds)}.",
            "Put these names there, with commas; a file with one text per line is a .txt.",
        )


def _value(cell: str, kind: str | None) -> Any:
    """Return a cell as a JSON value. It is a number only if the schema allows one, or if there is no schema."""
    if not cell:
        return None
    return json.loads(cell) if kind in (None, *NUMBERS) and _NUMBER.fullmatch(cell) else cell


def _texts(path: Path, rows: list[dict[str, Any]], kinds: Mapping[str, str]) -> list[Any]:
    names = [name for name in (rows[0] if rows else ()) if kinds.get(name) == "text"]
    if rows and len(names) != 1:
        raise ConfigurationError(
            f"An instance is a text, and {path} has {len(names)} columns of texts.",
            "Put one text on each line of a .txt.",
        )
    return [row[names[0]] for row in rows]
