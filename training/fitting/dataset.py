"""A split of the data, streamed from its Parquet parts in batches of texts of similar length to save padding.

preprocess.py writes the rows in the order of a hash, so every part and every block of rows is a random sample of the
split. Shuffling a block in memory therefore has the same effect as shuffling the whole split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf

from common.cleaning import rough_word_count
from model.features import MAX_WORDS, Featurizer

BLOCK_ROWS = 1 << 16
# A window is the shuffled rows of this many batches, sorted by length: a larger one needs less padding, but makes the
# rows of a batch more alike.
WINDOW_BATCHES = 64
TEXTS, READ_BYTES = 1024, 1 << 20

# Texts as an array of bytes [rows], labels as float32 [rows, labels].
Batch = tuple[np.ndarray, np.ndarray]


class EmptySplit(Exception):
    """A split has no rows. The message names the folder."""


@dataclass(frozen=True)
class Split:
    """The Parquet parts in the order of reading, and the number of rows in each."""

    paths: tuple[Path, ...]
    rows: tuple[int, ...]
    text: str
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return sum(self.rows)

    def limited(self, rows: int) -> Split:
        """Return the first parts that have at least ``rows`` rows together, or all parts."""
        parts = int(np.searchsorted(np.cumsum(self.rows), rows)) + 1
        return Split(self.paths[:parts], self.rows[:parts], self.text, self.labels)

    def shuffled(self, random: np.random.Generator) -> Split:
        """Return the parts in another order, so that other rows share a block."""
        order = random.permutation(len(self.paths))
        paths, rows = (tuple(values[index] for index in order) for values in (self.paths, self.rows))
        return Split(paths, rows, self.text, self.labels)

    def blocks(self, size: int = BLOCK_ROWS, first: int = 0) -> Iterator[pl.DataFrame]:
        """Yield blocks of ``size`` rows in order, from the block ``first`` on. The last one may be shorter."""
        ends = np.cumsum(self.rows)
        for start in range(first * size, len(self), size):
            parts = []
            for index in range(int(np.searchsorted(ends, start, "right")), len(self.paths)):
                offset = max(0, start - int(ends[index]) + self.rows[index])
                missing = start + size - (int(ends[index]) - self.rows[index]) - offset
                if missing <= 0:
                    break
                part = pl.scan_parquet(self.paths[index]).select(self.text, *self.labels)
                parts.append(part.slice(offset, min(missing, self.rows[index] - offset)).collect())
            yield pl.concat(parts)

    def texts(self) -> Iterator[np.ndarray]:
        """Yield all texts in order, as arrays of bytes."""
        for block in self.blocks():
            texts = block[self.text].cast(pl.Binary).to_numpy()
            yield from (texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS))

    def first_texts(self, rows: int) -> pl.Series:
        return next(self.blocks(rows))[self.text]

    def label_combinations(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the combinations of labels [n, labels] that rows have, and the number of rows of each."""
        rows = pl.scan_parquet([*self.paths]).group_by(self.labels).len().collect(engine="streaming").sort(self.labels)
        return rows.select(self.labels).to_numpy(), rows["len"].to_numpy().astype(np.int64)

    def label_counts(self) -> np.ndarray:
        """Return the number of positive rows of each label."""
        combinations, counts = self.label_combinations()
        return np.asarray(counts @ combinations)

    def digest(self) -> bytes:
        """Return a digest of all rows."""
        digest = hashlib.sha256()
        for path in self.paths:
            with path.open("rb") as file:
                while chunk := file.read(READ_BYTES):
                    digest.update(chunk)
        return digest.digest()


def open_split(folder: Path, text: str, labels: list[str], rank: int = 0, size: int = 1) -> Split:
    """Return every ``size``-th part of a split, starting with the part ``rank``. Raise EmptySplit without rows."""
    paths = sorted(folder.glob("*.parquet"))[rank::size]
    rows = [int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in paths]
    if not sum(rows):
        share = f" for worker {rank + 1} of {size}" if size > 1 else ""
        raise EmptySplit(f"{folder}: no rows in it{share}")
    return Split(tuple(paths), tuple(rows), text, tuple(labels))


class TrainingStream:
    """Endless batches for a training: one pass after the other through a split, each in another order."""

    def __init__(self, split: Split, batch_size: int, devices: int, seed: int) -> None:
        self._split, self._batch_size, self._devices, self._seed = split, batch_size, devices, seed
        self._block_steps = -(-BLOCK_ROWS // batch_size)
        # A remainder that is too small for the devices is left out.
        self.steps_per_pass = len(split) // batch_size + (len(split) % batch_size >= devices)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the batches from number ``step`` on. Only the last one of a pass may be short."""
        for number in count(step // self.steps_per_pass):
            done = max(0, step - number * self.steps_per_pass)
            first, skipped = divmod(done, self._block_steps)
            blocks = self._split.shuffled(np.random.default_rng([self._seed, number])).blocks(
                self._block_steps * self._batch_size, first
            )
            for block_number, block in enumerate(blocks, first):
                random = np.random.default_rng([self._seed, number, block_number])
                batches = shuffle_batches(word_counts(block, self._split.text), self._batch_size, random)
                if len(batches[-1]) < self._devices:
                    batches.pop()
                yield from select(self._split, block, batches[skipped:])
                skipped = 0


def select(split: Split, block: pl.DataFrame, batches: list[np.ndarray]) -> Iterator[Batch]:
    """Yield the batches of a block. A batch is given by the indices of its rows."""
    texts = block[split.text].cast(pl.Binary).to_numpy()
    labels = block.select(split.labels).to_numpy().astype(np.float32)
    for rows in batches:
        yield texts[rows], labels[rows]


def loader(labels: int, featurizer: Featurizer, devices: int = 1) -> Any:
    """Return a function from a batch to (features, labels) for each device. It is traced once for all its datasets."""

    def load(texts: tf.Tensor, truth: tf.Tensor) -> tuple[Any, ...]:
        return tuple((featurizer(texts[device::devices]), truth[device::devices]) for device in range(devices))

    signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([None, labels], tf.float32)]
    return tf.function(load, input_signature=signature, autograph=False)


def featurize(batches: Iterator[Batch], load: Any) -> tf.data.Dataset:
    """Return the loader's result for each batch, computed in advance."""
    return tf.data.Dataset.from_generator(lambda: batches, output_signature=load.input_signature).map(load).prefetch(2)


def word_counts(block: pl.DataFrame, text: str) -> np.ndarray:
    """Return roughly how many words of each text the network reads: precise enough for sorting."""
    return block.select(rough_word_count(text).clip(upper_bound=MAX_WORDS)).to_series().to_numpy()


def shuffle_batches(lengths: np.ndarray, batch_size: int, random: np.random.Generator) -> list[np.ndarray]:
    """Return every row once, in batches of similar length and random order. Only the last one may be short."""
    order = random.permutation(len(lengths))
    window = batch_size * WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    shuffled = [batches[index] for index in random.permutation(len(batches))]
    return sorted(shuffled, key=lambda rows: len(rows) < batch_size)


def sort_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return every row once, the shortest first. The evaluation does not depend on the order."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
