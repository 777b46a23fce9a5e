"""Reads training/usecase.toml: all that mlops knows of the use case, checked, with every problem named at once."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.data.schema import KINDS, Schema
from mlops_cli.errors import ConfigurationError
from mlops_cli.machines import Machines, read_machines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from mlops_cli.data.request import Request

Minimum = dict[str, float]
ROWS = ("macro", "label")
TABLES = ("name", "description", "data", "hyperparameters", "metrics", "gates", "endpoint", "aws")
Scalar = (str, int, float, bool)


@dataclass(frozen=True)
class Metrics:
    """Which split and metric count, and the floors (metric to value) for the mean row and for each label."""

    split: str
    primary: str
    macro_minimum: Minimum
    label_minimum: Minimum

    def named(self) -> dict[str, str]:
        """All that decides what the evidence says of a metric, by name."""
        floors = (("macro", self.macro_minimum), ("label", self.label_minimum))
        named = {f"floor of {row} {name}": f"{value:g}" for row, table in floors for name, value in table.items()}
        return {"metrics.split": self.split, "metrics.primary": self.primary, **named}


@dataclass(frozen=True)
class UseCase:
    name: str
    description: str
    source: str
    competition: str
    file: str
    columns: dict[str, str]
    hyperparameters: dict[str, dict[str, str]]
    metrics: Metrics
    examples: tuple[Any, ...]
    machines: Machines
    path: Path

    def data_request(
        self, sources: Sequence[str] = (), rows: int | None = None, seed: int = 42, sha256: str | None = None
    ) -> Request:
        """What ``download-data`` is asked to acquire; without sources, from where the use case says."""
        from mlops_cli.data.request import Request

        return Request(sources or [self.source], Schema(self.columns), rows, seed, sha256, self.competition, self.file)


def load_use_case(path: Path) -> UseCase:
    """Raises ConfigurationError naming the file, and each table and key that is wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.", f"Fix {path.name} and try again.") from None
    problems = [f"[{name}] is not known; known are {', '.join(TABLES)}" for name in document if name not in TABLES]
    use_case = _read(document, path, problems)
    if problems:
        raise ConfigurationError(f"{path}: " + "; ".join(problems) + ".", "Fix the file and try again.")
    return use_case


def _read(document: dict[str, Any], path: Path, problems: list[str]) -> UseCase:
    data = _table(document, "data", problems)
    metrics = _table(document, "metrics", problems)
    minimum = _table(metrics, "minimum", problems, "metrics.minimum")
    problems += [f"[metrics.minimum.{row}] is not known, expected macro or label" for row in minimum if row not in ROWS]
    return UseCase(
        name=_name(document, problems),
        description=str(document.get("description", "")),
        source=str(data.get("source", "sample")),
        competition=str(data.get("competition", "")),
        file=str(data.get("file", "train.csv")),
        columns=_columns(data, problems),
        hyperparameters=_hyperparameters(_table(document, "hyperparameters", problems), problems),
        metrics=Metrics(
            split=str(metrics.get("split", "test")),
            primary=_text(metrics, "primary", problems, "metrics."),
            macro_minimum=_numbers(minimum, "macro", problems),
            label_minimum=_numbers(minimum, "label", problems),
        ),
        examples=_examples(_table(document, "endpoint", problems), problems),
        machines=read_machines(_table(document, "aws", problems), problems),
        path=path,
    )


def _table(parent: dict[str, Any], key: str, problems: list[str], name: str = "") -> dict[str, Any]:
    value = parent.get(key, {})
    if isinstance(value, dict):
        return value
    problems.append(f"[{name or key}] must be a table")
    return {}


def _text(table: dict[str, Any], key: str, problems: list[str], prefix: str = "") -> str:
    value = table.get(key)
    if isinstance(value, str) and value.strip():
        return value
    problems.append(f"{prefix}{key} must be a text" + ("" if key in table else ", and is missing"))
    return ""


def _name(document: dict[str, Any], problems: list[str]) -> str:
    """The use case's name becomes part of the endpoint's, for which SageMaker allows these characters."""
    name = _text(document, "name", problems)
    if name and not re.fullmatch(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,40}", name):
        problems.append(f"name is {name!r}, expected up to 41 letters, digits and -")
    return name


def _examples(endpoint: dict[str, Any], problems: list[str]) -> tuple[Any, ...]:
    examples = endpoint.get("examples", [])
    if isinstance(examples, list):
        return tuple(examples)
    problems.append("endpoint.examples must be a list")
    return ()


def _columns(data: dict[str, Any], problems: list[str]) -> dict[str, str]:
    columns = _table(data, "columns", problems, "data.columns")
    if not columns:
        problems.append("[data.columns] must name at least one column")
    for name, kind in columns.items():
        if kind not in KINDS:
            problems.append(f"data.columns.{name} is {kind!r}, expected one of {', '.join(KINDS)}")
    return {str(name): str(kind) for name, kind in columns.items()}


def _hyperparameters(table: dict[str, Any], problems: list[str]) -> dict[str, dict[str, str]]:
    for stage in table:
        for name, value in _table(table, stage, problems, f"hyperparameters.{stage}").items():
            if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
                problems.append(f"hyperparameters.{stage} has {name!r}, expected a name of letters, digits, _ and -")
            if not isinstance(value, Scalar):
                problems.append(f"hyperparameters.{stage}.{name} must be a text, a number or true/false")
    return {
        stage: {name: str(value) for name, value in values.items()}
        for stage, values in table.items()
        if isinstance(values, dict)
    }


def _numbers(minimum: dict[str, Any], row: str, problems: list[str]) -> Minimum:
    table = _table(minimum, row, problems, f"metrics.minimum.{row}")
    for name, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            problems.append(f"metrics.minimum.{row}.{name} must be a number")
    return {name: float(value) for name, value in table.items() if isinstance(value, (int, float))}


def full_names(use_case: UseCase, overrides: dict[str, str]) -> dict[str, str]:
    """Overrides by ``stage.name``; raises ConfigurationError for a name that is unknown or ambiguous."""
    located = {_locate(name, use_case.hyperparameters): value for name, value in overrides.items()}
    return {f"{stage}.{name}": value for (stage, name), value in located.items()}


def with_overrides(use_case: UseCase, overrides: dict[str, str]) -> dict[str, dict[str, str]]:
    """The hyperparameters by stage, with overrides by ``stage.name`` put in."""
    merged = {stage: dict(values) for stage, values in use_case.hyperparameters.items()}
    for name, value in full_names(use_case, overrides).items():
        stage, key = name.split(".", 1)
        merged[stage][key] = value
    return merged


def _locate(name: str, tables: dict[str, dict[str, str]]) -> tuple[str, str]:
    known = [f"{stage}.{key}" for stage, values in tables.items() for key in values]
    matches = [full for full in known if full == name or full.split(".", 1)[1] == name]
    if len(matches) == 1:
        stage, key = matches[0].split(".", 1)
        return stage, key
    problem = f"is ambiguous: {', '.join(matches)}" if matches else f"is unknown; known are {', '.join(known)}"
    raise ConfigurationError(
        f"The hyperparameter {name!r} {problem}.",
        "Write --set STAGE.NAME=VALUE; add further ones to usecase.toml under [hyperparameters.STAGE].",
    )
