"""The scripts' only reader of usecase.toml: names of columns, hyperparameters, and thresholds of gates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATH = Path(__file__).parents[1] / "usecase.toml"


def columns() -> dict[str, str]:
    """Return each column of the raw data with its type: id, text, label or number."""
    return dict(_table("data")["columns"])


def labels() -> list[str]:
    """Return the label columns in the order of the model's outputs."""
    return _of_kind("label")


def text_column() -> str:
    return _only("text")


def id_column() -> str:
    return _only("id")


def hyperparameters(stage: str) -> dict[str, Any]:
    """Return the hyperparameters of a stage: ``preprocess`` or ``train``."""
    return dict(_table("hyperparameters")[stage])


def gate(name: str) -> dict[str, Any]:
    """Return the thresholds of the gate ``name``, e.g. ``pre-training``."""
    return dict(_table("gates")[name])


def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(PATH.read_text(encoding="utf-8-sig"))[name]
    return table


def _of_kind(kind: str) -> list[str]:
    return [name for name, its_kind in columns().items() if its_kind == kind]


def _only(kind: str) -> str:
    names = _of_kind(kind)
    if len(names) != 1:
        raise ValueError(f"{PATH.name}: [data.columns] names {len(names)} columns of kind {kind}, expected one")
    return names[0]
