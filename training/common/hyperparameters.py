"""The hyperparameters of train.py. usecase.toml gives their values and meanings. A new one is one more field here."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, get_type_hints

from common import usecase


@dataclass(frozen=True)
class Hyperparameters:
    epochs: int
    batch_size: int
    learning_rate: float
    warm_up: float
    clip_norm: float
    words: int
    min_count: int
    embedding_size: int
    lstm_units: int
    word_dropout: float
    spatial_dropout: float
    dropout: float
    positive_weight_power: float
    label_smoothing: float
    base_rates: str
    workers: int
    checkpoint_seconds: float
    seed: int

    @classmethod
    def of_use_case(cls, **changes: Any) -> Hyperparameters:
        """Return the values in usecase.toml with these changes."""
        return cls(**{**usecase.hyperparameters("train"), **changes})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each hyperparameter. Its default is the value in usecase.toml."""
    values = usecase.hyperparameters("train")
    for name, kind in get_type_hints(Hyperparameters).items():
        parse = _count if kind is int and name != "seed" else kind
        default = str(values[name]) if name in values else None
        parser.add_argument(f"--{name}", type=parse, default=default, required=default is None)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small, expected at least 1")
    return int(text)
