"""Training data as numbers, and batches of texts of like length, so that little time goes into padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import tensorflow as tf

from text import PADDING, Vectorizer

# A window is shuffled rows enough for so many batches, sorted by length: more is less padding, but batches that
# tell more about their rows.
WINDOW_BATCHES = 64
ENCODE_ROWS = 1024


class EmptySplit(Exception):
    """There is nothing to train on, or to measure by; the message names the folder."""


@dataclass(frozen=True)
class Table:
    """One split: texts, and labels as float32 [rows, labels]."""

    texts: pl.Series
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def batches(self, rows: int = ENCODE_ROWS) -> Iterator[tf.Tensor]:
        """The texts in order, as string tensors."""
        for part in self.texts.cast(pl.Binary).to_frame().iter_slices(rows):
            yield tf.constant(part.to_series().to_list(), tf.string)


def read_table(folder: Path, text: str, labels: list[str]) -> Table:
    """All Parquet files of a split, in the order of their names. Raises EmptySplit if there is no row in them."""
    parts = [pl.read_parquet(path, columns=[text, *labels]) for path in sorted(folder.glob("*.parquet"))]
    if not sum(part.height for part in parts):
        raise EmptySplit(f"{folder}: no rows in it")
    frame = pl.concat(parts)
    return Table(frame[text], frame.select(labels).to_numpy().astype(np.float32))


@dataclass(frozen=True)
class Encoded:
    """The ids of many texts in one array: text ``n`` is ``ids[starts[n] : starts[n + 1]]``."""

    ids: np.ndarray
    starts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts).astype(np.int32)

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids [rows, time] and lengths [rows] of some texts; time is the longest one's length, at least 1."""
        lengths = self.lengths[rows]
        filled = np.arange(max(1, int(lengths.max()))) < lengths[:, None]
        ids = np.full(filled.shape, PADDING, np.int32)
        ids[filled] = np.concatenate([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows])
        return ids, lengths


def encode(vectorizer: Vectorizer, table: Table) -> Encoded:
    parts = [vectorizer.ragged(texts) for texts in table.batches()]
    lengths = np.concatenate([part.row_lengths().numpy() for part in parts])
    ids = np.concatenate([part.flat_values.numpy() for part in parts])
    return Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]))


def shuffled_batches(lengths: np.ndarray, batch_size: int, seed: list[int]) -> list[np.ndarray]:
    """Every row once, in batches of like length that come in random order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))
    window = batch_size * WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    return [batches[place] for place in random.permutation(len(batches))]


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Every row once, the shortest first: for evaluation, where the order does not matter."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
