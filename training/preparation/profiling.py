"""The content of profile.json, counted in one pass over the prepared data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from common.cleaning import rough_word_count

SPLITS = ("train", "validation", "test")
QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass
class Profile:
    """Counts of rows. Several profiles can be merged."""

    rows_in: int = 0
    empty: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    positives: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in SPLITS})
    words: Counter[int] = field(default_factory=Counter)
    characters: Counter[int] = field(default_factory=Counter)

    def add(self, name: str, frame: pl.DataFrame, text: str, labels: list[str]) -> None:
        """Add the rows of ``frame`` to the split ``name``."""
        self.rows[name] += frame.height
        self.positives[name].update({label: int(frame[label].sum()) for label in labels})
        self.words.update(_histogram(frame.select(rough_word_count(text)).to_series()))
        self.characters.update(_histogram(frame[text].str.len_chars()))

    def merge(self, source: Profile) -> None:
        self.rows_in += source.rows_in
        self.empty += source.empty
        self.rows.update(source.rows)
        self.words.update(source.words)
        self.characters.update(source.characters)
        for name in SPLITS:
            self.positives[name].update(source.positives[name])

    def report(self, labels: list[str]) -> dict[str, Any]:
        rows_out = self.rows.total()
        return {
            "rows_in": self.rows_in,
            "rows_out": rows_out,
            "empty_dropped": self.empty,
            "duplicates_dropped": self.rows_in - self.empty - rows_out,
            "splits": {name: self._split(name, labels) for name in SPLITS},
            "words": _quantiles(self.words),
            "characters": _quantiles(self.characters),
            "words_histogram": _doublings(self.words),
        }

    def _split(self, name: str, labels: list[str]) -> dict[str, Any]:
        rows, positives = self.rows[name], self.positives[name]
        rates = {label: round(positives[label] / rows, 6) if rows else None for label in labels}
        return {"rows": rows, "label_counts": {label: positives[label] for label in labels}, "label_rates": rates}


def _histogram(values: pl.Series) -> dict[int, int]:
    return dict(values.value_counts().iter_rows())


def _quantiles(histogram: Counter[int]) -> dict[str, int | None]:
    values = sorted(histogram)
    if not values:
        return dict.fromkeys(QUANTILES)
    counts = np.cumsum([histogram[value] for value in values])
    return {name: values[int(np.searchsorted(counts, q * counts[-1]))] for name, q in QUANTILES.items()}


def _doublings(histogram: Counter[int]) -> dict[str, int]:
    """Count rows in bins from 1, 2, 4, 8, ... on, by lower bound, as the reference for later data."""
    counts: Counter[int] = Counter()
    for value, count in histogram.items():
        counts[1 << (value.bit_length() - 1) if value else 0] += count
    return {str(edge): counts[edge] for edge in sorted(counts)}
