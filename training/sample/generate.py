"""Write made-up comments: a source of `mlops download-data`, seeded, as many as wanted, written while they are made.

    python -m sample.generate --output-dir /tmp/sample --rows 20000 --seed 42

The labels come at the base rates of the Jigsaw comments, lengths and vocabulary are long-tailed like theirs. Many
harmless rows hold the very words of the toxic ones, denied or quoted, so that only word order tells them apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import TextIO, TypeVar

from sample.phrases import KINDS, affirmed, asserted, denied, negated
from sample.sentences import SentenceGenerator

_T = TypeVar("_T")
LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
COLUMNS = ("id", "comment_text", *LABELS)

# The number of comments with each combination of LABELS among 20,000 of Jigsaw's.
_COMBINATIONS = {
    "000000": 18037, "100000": 600, "101010": 494, "101000": 235, "100010": 187, "111010": 146, "101011": 91,
    "111011": 26, "111000": 22, "100100": 22, "100011": 23, "101110": 12, "100001": 14, "111110": 10,
    "101111": 7, "101001": 6, "111111": 5, "110000": 5, "000010": 10, "001000": 10, "100110": 4,
    "101100": 5, "111001": 2, "110001": 2, "110010": 2, "111100": 1, "110011": 1, "110100": 1,
}  # fmt: skip
_BLOCK = 1_000
_MISLEADING = 0.3  # share of the harmless rows with words of toxic ones
_MEDIAN_WORDS, _SIGMA, _MAX_WORDS = 42, 1.1, 1_400  # log-normal: mean 68
_WORDS_PER_SENTENCE = 18
_MIRRORED = 0.6
_DENIED_WEIGHTS = {"toxic": 3, "severe_toxic": 3, "obscene": 4, "threat": 1, "insult": 4, "identity_hate": 3}
_ENDS = (". ", ". ", "! ", "!!! ", "\n", ".\n\n", ", ", "... ", " - ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    with (arguments.output_dir / "comments.csv").open("w", encoding="utf-8", newline="") as stream:
        for done in write_sample(stream, arguments.rows, arguments.seed):
            print(f"progress {done}/{arguments.rows} rows", flush=True)


def write_sample(stream: TextIO, rows: int, seed: int = 42) -> Iterator[int]:
    """Write a CSV with a header and ``rows`` rows to ``stream`` (opened with newline="").

    Yield how many are written.
    """
    stream.write(",".join(COLUMNS) + "\n")
    done = 0
    for block in sample_blocks(rows, seed):
        stream.write("".join([_line(row) for row in block]))
        done += len(block)
        yield done


def _line(row: Sequence[str]) -> str:
    text = row[1].replace('"', '""')
    return f'"{row[0]}","{text}",{",".join(row[2:])}\n'


def sample_blocks(rows: int, seed: int) -> Iterator[list[list[str]]]:
    """Yield lists of up to 1,000 rows in the order of COLUMNS. The same seed gives the same rows."""
    comments = _Comments(Random(seed))
    number = 0
    while number < rows:
        block = []
        for text, flags in comments.block()[: rows - number]:
            number += 1
            block.append([f"sample_{number:07d}", text, *flags])
        yield block


class _Comments:
    """Generates comments in blocks, with a small constant state."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sentences = SentenceGenerator(random)
        self._asserted = {name: self._styled(asserted(name)) for name in KINDS}
        # Repeated by weight, so that one uniform number chooses.
        self._denied = [self._styled(denied(name)) for name, weight in _DENIED_WEIGHTS.items() for _ in range(weight)]
        self._affirmed = self._styled([phrase for name in KINDS for phrase in affirmed(name)])
        self._negated = self._styled([phrase for name in KINDS for phrase in negated(name)])
        self._lengths = _lengths(1_000)
        self._owed = dict.fromkeys(_COMBINATIONS, 0.0)
        self._blocks = 0

    def block(self) -> list[tuple[str, str]]:
        """Return 1,000 pairs (text, labels as a string of 0 and 1)."""
        # Vocabulary grows with the rows, memory does not.
        self._sentences.refresh(1_500 if self._blocks < 5 else 50)
        self._blocks += 1
        return [(self._comment(flags), flags) for flags in self._labels()]

    def _labels(self) -> list[str]:
        """Return the next block's label combinations.

        The rates are exact over many blocks: remainders are carried over.
        """
        drawn: list[str] = []
        for flags, count in _COMBINATIONS.items():
            self._owed[flags] += count * _BLOCK / 20_000
            whole = int(self._owed[flags])
            self._owed[flags] -= whole
            drawn += [flags] * whole
        drawn += ["000000"] * (_BLOCK - len(drawn))
        self._owed["000000"] -= _BLOCK - len(drawn)
        self._random.shuffle(drawn)
        return drawn[:_BLOCK]

    def _comment(self, flags: str) -> str:
        uniform = self._random.random
        filler = self._sentences
        misleads = flags == "000000" and uniform() < _MISLEADING
        phrases = self._misleading() if misleads else self._toxic(flags) if "1" in flags else self._calm()
        draw = uniform()
        # Heated comments are shorter.
        words = self._lengths[int((draw * draw if misleads or "1" in flags else draw) * len(self._lengths))]
        if words < 12:
            parts = [filler.short[int(uniform() * len(filler.short))]]
        else:
            parts = self._random.choices(filler.long, k=max(1, round((words - 7 * len(phrases)) / _WORDS_PER_SENTENCE)))
        if phrases:
            # Within the first sentences, so that a model that reads only the beginning sees it, too.
            position = int(uniform() * min(len(parts) + 1, 3))
            parts[position:position] = phrases
        return "".join(parts).strip()

    def _calm(self) -> list[str]:
        """Return up to two clearly harmless phrases."""
        uniform = self._random.random
        return [_pick(self._negated if uniform() < 0.5 else self._affirmed, uniform) for _ in range(int(uniform() * 3))]

    def _misleading(self) -> list[str]:
        """Return more toxic words than a toxic comment has, each denied or quoted."""
        uniform = self._random.random
        phrases = [_pick(_pick(self._denied, uniform), uniform) for _ in range(2 + int(uniform() * 3))]
        return self._turned([*phrases, _pick(self._affirmed, uniform)])

    def _toxic(self, flags: str) -> list[str]:
        """Return one toxic phrase for each label except the general one, often beside a denied harmless one."""
        uniform = self._random.random
        names = [name for name, flag in zip(LABELS, flags, strict=True) if flag == "1" and name != "toxic"]
        phrases = [_pick(self._asserted[name], uniform) for name in names or ["toxic"]]
        if uniform() < _MIRRORED:
            phrases.append(_pick(self._negated, uniform))
        return self._turned(phrases)

    def _turned(self, phrases: list[str]) -> list[str]:
        """Return the phrases rotated, as a cheap shuffle."""
        first = int(self._random.random() * len(phrases))
        return phrases[first:] + phrases[:first]

    def _styled(self, phrases: list[str]) -> list[str]:
        """Return the phrases in a human style: capital letters, ends of sentences, occasional shouting."""
        uniform = self._random.random
        written = []
        for phrase in phrases:
            draw = uniform()
            if draw < 0.06:
                phrase = phrase.upper()
            elif draw < 0.85:
                phrase = phrase[0].upper() + phrase[1:]
            written.append(phrase + _ENDS[int(uniform() * len(_ENDS))])
        return written


def _pick(items: Sequence[_T], uniform: Callable[[], float]) -> _T:
    return items[int(uniform() * len(items))]


def _lengths(count: int) -> list[int]:
    """Return equally likely comment lengths in words."""
    quantiles = (NormalDist().inv_cdf((i + 0.5) / count) for i in range(count))
    return [max(2, min(_MAX_WORDS, round(_MEDIAN_WORDS * 2.718281828 ** (_SIGMA * q)))) for q in quantiles]


if __name__ == "__main__":
    main()
