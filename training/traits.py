"""What is measured of a text, and of the model's answer to it: numbers, from which no text can be read.

The same functions measure the test rows when the model is trained and the requests when it is used, outside of
TensorFlow. Which words the training knew is kept as hashes.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import observation
from cleaning import RULES

FILE = "words.bin"
# What inference.py needs beside it.
MODULES = ("observation.py", "traits.py", "cleaning.py")
# Test rows that are measured: more would cost time, and not tell more.
MOST_ROWS = 20_000
HASH_BYTES = 5
LONG_TEXT = 10_000  # characters; a request with longer ones must not take long to measure
# Of training texts, which come in the order of a hash; so many are enough to know what is common.
ENOUGH_TEXTS = 50_000
# RE2 and Rust write \x{a0} where Python writes \u00a0.
_RULES = [
    (re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\u{int(found[1], 16):04x}", pattern)), replacement)
    for pattern, replacement in RULES
]
_WORD = re.compile(r"(?:[^\W_]|['*@$])+|[!?]")
_RUN = re.compile(r"([!?])\1+")


def words(text: str) -> list[str]:
    """As the model splits a text."""
    return _WORD.findall(_RUN.sub(r"\1", _cleaned(text)).lower())


def _cleaned(text: str) -> str:
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class Vocabulary:
    """Which words were common in training."""

    def __init__(self, hashes: Iterable[bytes]) -> None:
        self._hashes = frozenset(hashes)

    @classmethod
    def learn(cls, texts: Iterable[str], min_count: int, most: int) -> Vocabulary:
        """The most frequent words of texts."""
        counts: Counter[str] = Counter()
        for text, _ in zip(texts, range(ENOUGH_TEXTS), strict=False):
            counts.update(words(text))
        common = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        return cls(_hash(word) for word in common[:most])

    @classmethod
    def read(cls, folder: Path) -> Vocabulary:
        content = (folder / FILE).read_bytes()
        return cls(content[offset : offset + HASH_BYTES] for offset in range(0, len(content), HASH_BYTES))

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(b"".join(sorted(self._hashes)))

    def unknown(self, tokens: Sequence[str]) -> float | None:
        """Which share of words is not common, None of none."""
        return sum(_hash(word) not in self._hashes for word in tokens) / len(tokens) if tokens else None


def _hash(word: str) -> bytes:
    return blake2b(word.encode("utf-8", "replace"), digest_size=HASH_BYTES).digest()


def measure(
    texts: Sequence[str], scores: Sequence[Sequence[float]], labels: Sequence[str], vocabulary: Vocabulary
) -> dict[str, list[float | None]]:
    """By name, a value for each text: how long, how unknown its words, and how sure the model is of each label."""
    tokenized = [words(text[:LONG_TEXT]) for text in texts]
    return {
        "characters": [len(text) for text in texts],
        "words": [len(tokens) for tokens in tokenized],
        "unknown words": [vocabulary.unknown(tokens) for tokens in tokenized],
        **{f"score {label}": [row[index] for row in scores] for index, label in enumerate(labels)},
    }


def measurer(code: Path, labels: Sequence[str]) -> observation.Measure:
    """``measure`` with what the package has; read when the first request is measured."""

    @cache
    def vocabulary() -> Vocabulary:
        return Vocabulary.read(code)

    return lambda texts, scores: measure(texts, scores, labels, vocabulary())


def export(
    code: Path,
    output: Path,
    vocabulary: Vocabulary,
    texts: Sequence[str],
    scores: Sequence[Sequence[float]],
    labels: Sequence[str],
    weights: Sequence[float],
) -> None:
    """What the package needs to measure requests, and how texts that the model has not learnt from measure.

    ``weights`` make these rows what is expected where the model will be used; ``scores`` are [rows, labels].
    """
    code.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        shutil.copyfile(Path(__file__).with_name(name), code / name)
    vocabulary.write(code)
    observation.write_reference([code, output], measure(texts, scores, labels, vocabulary), weights)
