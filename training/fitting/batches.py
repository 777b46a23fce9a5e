"""Training data in memory, in batches of texts of similar length, which need little padding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import tensorflow as tf

from model.features import MAX_WORDS, Featurizer
from model.text import WORD_PATTERN

# A window is the shuffled rows of this many batches, sorted by length: a larger one needs less padding, but makes the
# rows of a batch more alike.
WINDOW_BATCHES = 64
READ_ROWS = 1024


class EmptySplit(Exception):
    """A split without rows; the message names the folder."""


@dataclass(frozen=True)
class Table:
    """One split: texts as strings [rows], labels as float32 [rows, labels], lengths in words of the LSTM."""

    texts: tf.Tensor
    labels: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def strings(self) -> pl.Series:
        """The texts outside of TensorFlow."""
        encoded: list[bytes] = self.texts.numpy().tolist()
        strings: pl.Series = pl.Series(encoded, dtype=pl.Binary).cast(pl.String)
        return strings

    @property
    def digest(self) -> str:
        """A digest of labels and lengths, to recognize the same table."""
        return hashlib.sha256(self.labels.tobytes() + self.lengths.tobytes()).hexdigest()

    def batches(self) -> Iterator[tf.Tensor]:
        """The texts in order."""
        for start in range(0, len(self), READ_ROWS):
            yield self.texts[start : start + READ_ROWS]

    def featurized(self, featurizer: Featurizer, batches: list[np.ndarray]) -> tf.data.Dataset:
        """Return (features, labels) of each batch of rows, computed ahead of its use.

        All batches but the last must be equally large.
        """
        labels = tf.constant(self.labels)

        def load(rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return featurizer(tf.gather(self.texts, rows)), tf.gather(labels, rows)

        rows = tf.data.Dataset.from_tensor_slices(np.concatenate(batches)).batch(len(batches[0]))
        return rows.map(load).prefetch(2)


def read_table(folder: Path, text: str, labels: list[str]) -> Table:
    """Read all Parquet files of a split, in the order of their names. Raise EmptySplit without rows."""
    parts = [_read_part(path, text, labels) for path in sorted(folder.glob("*.parquet"))]
    if not sum(len(part) for part in parts):
        raise EmptySplit(f"{folder}: no rows in it")
    return Table(
        tf.concat([part.texts for part in parts], 0),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.lengths for part in parts]),
    )


def _read_part(path: Path, text: str, labels: list[str]) -> Table:
    frame = pl.read_parquet(path, columns=[text, *labels])
    words = frame[text].str.count_matches(WORD_PATTERN).clip(upper_bound=MAX_WORDS)
    strings = tf.constant(frame[text].cast(pl.Binary).to_list(), tf.string)
    return Table(strings, frame.select(labels).to_numpy().astype(np.float32), words.to_numpy().astype(np.int32))


def shuffled_batches(lengths: np.ndarray, batch_size: int, seed: list[int]) -> list[np.ndarray]:
    """Return every row once, in batches of similar length and random order; only the last may be short."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))
    window = batch_size * WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    shuffled = [batches[index] for index in random.permutation(len(batches))]
    return sorted(shuffled, key=lambda rows: len(rows) < batch_size)


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return every row once, the shortest first: for evaluation, independent of the order."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
