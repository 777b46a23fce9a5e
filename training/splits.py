"""The assignment of rows to splits: exact, stratified over the combinations of labels, and reproducible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import polars as pl

NAMES = ("train", "validation", "test")


class Assignment:
    """Assigns rows to the splits, in the order in which they come.

    Each combination of labels is assigned separately: of its first n rows n * fraction go to a split, to the nearest
    row or so, for every n. The rows of a combination must come in an order independent of their content (preprocess.py:
    by seeded hash), in any number of calls.
    """

    def __init__(self, validation_fraction: float, test_fraction: float, seed: int) -> None:
        self._held_out = validation_fraction + test_fraction
        self._validation = validation_fraction / self._held_out if self._held_out else 0.0
        self._seed = seed
        self._dealt: Counter[int] = Counter()

    def split(self, combinations: pl.Series) -> pl.Series:
        """Return an index into NAMES for each row, given each row's combination of labels as a number."""
        codes = combinations.to_numpy()
        assigned = np.zeros(len(codes), np.uint8)
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code)
            assigned[rows] = self._deal(int(code), len(rows))
        return pl.Series(assigned)

    def pass_over(self, counts: Mapping[int, int]) -> None:
        """Skip rows of each combination that another host has assigned."""
        self._dealt.update(counts)

    def _deal(self, code: int, n: int) -> np.ndarray:
        order = self._dealt[code] + np.arange(n)
        self._dealt[code] += n
        held_out, rank = _every(self._held_out, order, self._offset(code, "held out"))
        validation, _ = _every(self._validation, rank, self._offset(code, "validation"))
        return np.where(held_out, np.where(validation, 1, 2), 0).astype(np.uint8)

    def _offset(self, code: int, purpose: str) -> float:
        """Return the start of a combination in [0, 1): else every rare one would go to train alone."""
        digest = blake2b(f"{self._seed}/{code}/{purpose}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def _every(fraction: float, order: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Return for each index in ``order`` if the row is taken, and the number of taken rows before it."""
    before = np.floor(fraction * order + offset)
    return np.floor(fraction * (order + 1) + offset) > before, before
