"""Features of a text and of the model's response for drift detection: numbers that reveal no text.

The same functions measure the test rows in training and the requests in use, outside of TensorFlow. The training's
vocabulary is kept as hashes.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

from common.cleaning import RULES
from monitoring import observation

FILE = "words.bin"
# The modules that inference.py imports.
MODULES = (
    "common/__init__.py",
    "common/cleaning.py",
    "monitoring/__init__.py",
    "monitoring/observation.py",
    "monitoring/traits.py",
)
# The limit of measured test rows: more would cost time without new information.
MOST_ROWS = 20_000
HASH_BYTES = 5
LONG_TEXT = 10_000  # characters; a longer request must not take long to measure
# The training texts come in the order of a hash; so few are enough for the common words.
ENOUGH_TEXTS = 50_000
# RE2 and Rust write \x{a0}, Python writes \u00a0.
_RULES = [
    (re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: f"\\u{int(match[1], 16):04x}", pattern)), replacement)
    for pattern, replacement in RULES
]
_WORD = re.compile(r"(?:[^\W_]|['*@$])+|[!?]")
_RUN = re.compile(r"([!?])\1+")


def words(text: str) -> list[str]:
    """Return a text's words, split like the model does."""
    return _WORD.findall(_RUN.sub(r"\1", _cleaned(text)).lower())


def _cleaned(text: str) -> str:
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class Vocabulary:
    """The common words of the training."""

    def __init__(self, hashes: Iterable[bytes]) -> None:
        self._hashes = frozenset(hashes)

    @classmethod
    def learn(cls, texts: Iterable[str], min_count: int, most: int) -> Vocabulary:
        """Return the most frequent words of texts."""
        counts: Counter[str] = Counter()
        for text, _ in zip(texts, range(ENOUGH_TEXTS), strict=False):
            counts.update(words(text))
        common = sorted(
            (token for token, count in counts.items() if count >= min_count), key=lambda token: (-counts[token], token)
        )
        return cls(_hash(token) for token in common[:most])

    @classmethod
    def read(cls, folder: Path) -> Vocabulary:
        content = (folder / FILE).read_bytes()
        return cls(content[offset : offset + HASH_BYTES] for offset in range(0, len(content), HASH_BYTES))

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(b"".join(sorted(self._hashes)))

    def unknown(self, tokens: Sequence[str]) -> float | None:
        """Return the share of uncommon words; None without words."""
        return sum(_hash(token) not in self._hashes for token in tokens) / len(tokens) if tokens else None


def _hash(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "replace"), digest_size=HASH_BYTES).digest()


def measure(
    texts: Sequence[str], scores: Sequence[Sequence[float]], labels: Sequence[str], vocabulary: Vocabulary
) -> dict[str, list[float | None]]:
    """Return by name a value per text: the length, the share of unknown words, the score of each label."""
    tokenized = [words(text[:LONG_TEXT]) for text in texts]
    return {
        "characters": [len(text) for text in texts],
        "words": [len(tokens) for tokens in tokenized],
        "unknown words": [vocabulary.unknown(tokens) for tokens in tokenized],
        **{f"score {label}": [row[index] for row in scores] for index, label in enumerate(labels)},
    }


def measurer(code: Path, labels: Sequence[str]) -> observation.Measure:
    """Return ``measure`` with the package's vocabulary, loaded at the first request."""

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
    """Write the files that measure requests, and the reference: the features of rows outside of the training split.

    ``weights`` adapt these rows to the population of use; ``scores`` are [rows, labels].
    """
    for name in MODULES:
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(__file__).parents[1] / name, code / name)
    vocabulary.write(code)
    observation.write_reference([code, output], measure(texts, scores, labels, vocabulary), weights)
