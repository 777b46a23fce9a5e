"""Read [data]: columns, tables with a schema, and scripts that write data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlops_cli.data.scripts import RESERVED, DataScript
from mlops_cli.data.tables.columns import column_text
from mlops_cli.data.tables.schema import Schema, TableFiles
from mlops_cli.project.usecase.problems import Problems
from mlops_cli.project.usecase.toml_values import (
    check_values,
    flag,
    optional_text,
    required_text,
    table_at,
    with_known_names,
)

TABLE_KEYS = ("file", "columns")


SCRIPT_KEYS = ("file", "arguments", "synthetic")


def read_columns(parent: dict[str, Any], title: str, problems: Problems) -> dict[str, str]:
    columns = table_at(parent, "columns", problems, title)
    texts = {}
    for name, spec in columns.items():
        try:
            texts[str(name)] = column_text(spec)
        except ValueError as error:
            problems.add(f"{title}.{name}", f"is {error}")
    return texts


def read_tables(data: dict[str, Any], problems: Problems) -> dict[str, TableFiles]:
    """Return the tables among the files that have a schema, by name."""
    tables = table_at(data, "tables", problems, "data.tables")
    if tables and data.get("columns"):
        problems.add("data.columns", "cannot be used with data.tables; give each table its own columns")
    declared = {}
    for name in tables:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            wrong = f"has {name!r}, expected a name of letters, digits, _ and -"
            problems.add(f"data.tables.{name}", wrong, "data.tables")
        title = f"data.tables.{name}"
        table = with_known_names(table_at(tables, name, problems, title), title, TABLE_KEYS, problems)
        columns = read_columns(table, f"{title}.columns", problems)
        if not columns:
            problems.add(f"{title}.columns", "is missing" if "columns" not in table else "names no columns")
            continue
        file = optional_text(table, "file", problems, f"{title}.") or f"{name}.csv"
        declared[name] = TableFiles(file, Schema(columns, f"[{title}.columns]"))
    return declared


def read_scripts(data: dict[str, Any], problems: Problems) -> dict[str, DataScript]:
    """Return the scripts that write data, by the name of the source."""
    tables = table_at(data, "scripts", problems, "data.scripts")
    for name in tables:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name) or name in RESERVED:
            wrong = f"has {name!r}, expected a name of letters, digits, _ and - (not kaggle)"
            problems.add(f"data.scripts.{name}", wrong, "data.scripts")
    return {name: _script(table_at(tables, name, problems, f"data.scripts.{name}"), name, problems) for name in tables}


def _script(table: dict[str, Any], name: str, problems: Problems) -> DataScript:
    title = f"data.scripts.{name}"
    table = with_known_names(table, title, SCRIPT_KEYS, problems)
    file = required_text(table, "file", problems, f"{title}.")
    if file and (not file.endswith(".py") or Path(file).is_absolute() or ".." in Path(file).parts):
        problems.add(f"{title}.file", f"is {file!r}, expected a Python file in the scripts' folder")
    arguments = table_at(table, "arguments", problems, f"{title}.arguments")
    check_values(arguments, f"{title}.arguments", problems)
    return DataScript(
        file,
        {argument: str(value) for argument, value in arguments.items()},
        flag(table, "synthetic", problems, f"{title}."),
    )
