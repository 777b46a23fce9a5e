"""The built-in sample: synthetic comments, seeded, as many as wanted, written while they are made.

    python -c "import sys; from mlops_cli.data.sources.sample.generator import write_sample as w; w(sys.stdout)" > s.csv

The labels come at the base rates of the Jigsaw comments, lengths and vocabulary are long-tailed like theirs. Many
harmless rows hold the very words of the toxic ones, denied or quoted, so that only word order tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from statistics import NormalDist
from typing import TextIO, TypeVar

from mlops_cli.core.progress import Report, no_report
from mlops_cli.data.csv_reader import formatted, header_line
from mlops_cli.data.schema import Schema
from mlops_cli.data.sources.sample.phrases import KINDS, affirmed, asserted, denied, negated
from mlops_cli.data.sources.sample.sentences import SentenceGenerator
from mlops_cli.errors import ConfigurationError

_T = TypeVar("_T")
LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
COLUMNS: dict[str, str] = {"id": "id", "comment_text": "text"} | dict.fromkeys(LABELS, "label")
DEFAULT_ROWS = 20_000
VERSION = 1  # of the generator: the same seed gives the same rows only within one version

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


def write_sample(
    stream: TextIO,
    columns: Mapping[str, str] = COLUMNS,
    rows: int = DEFAULT_ROWS,
    seed: int = 42,
    report: Report = no_report,
) -> None:
    """Write a CSV with a header and ``rows`` rows to ``stream`` (opened with newline="")."""
    schema = Schema(dict(columns))
    stream.write(header_line(schema))
    for done, block in enumerate(sample_blocks(columns, rows, seed)):
        stream.write(formatted(block, schema))
        report("sample", min((done + 1) * _BLOCK, rows), rows, "rows")


def sample_blocks(columns: Mapping[str, str], rows: int, seed: int) -> Iterator[list[list[str]]]:
    """Yield lists of up to 1,000 rows, each row in the order of ``columns``; the same for the same seed."""
    order = _order(columns)
    comments = _Comments(Random(seed))  # noqa: S311 (no secret: the same seed must give the same rows)
    number = 0
    while number < rows:
        block = []
        for text, flags in comments.block()[: rows - number]:
            number += 1
            cells = [f"sample_{number:07d}", text, *flags]
            block.append([cells[position] for position in order])
        yield block


def _order(columns: Mapping[str, str]) -> list[int]:
    """Return the positions of the user's columns in (id, text, *LABELS)."""
    kinds = list(columns.values())
    unknown = [n for n, k in columns.items() if (k == "label" and n not in LABELS) or k not in {"id", "text", "label"}]
    if unknown or kinds.count("id") > 1 or kinds.count("text") > 1:
        raise ConfigurationError(
            f"the built-in sample cannot fill {', '.join(unknown) or 'several id or text columns'}: "
            f"it has one id, one text and the labels {', '.join(LABELS)}",
            "give your own data: mlops download-data --source PATH",
        )
    return [
        {"id": 0, "text": 1}.get(kind, 2 + LABELS.index(name) if kind == "label" else 0)
        for name, kind in columns.items()
    ]


class _Comments:
    """Generates comments in blocks, with a small constant state."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sentences = SentenceGenerator(random)
        self._asserted = {name: self._written(asserted(name)) for name in KINDS}
        # Repeated by weight, so that one uniform number chooses.
        self._denied = [self._written(denied(name)) for name, weight in _DENIED_WEIGHTS.items() for _ in range(weight)]
        self._affirmed = self._written([phrase for name in KINDS for phrase in affirmed(name)])
        self._negated = self._written([phrase for name in KINDS for phrase in negated(name)])
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
        """Return the next block's label combinations: exact rates over many blocks, the remainder carried over."""
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
            # Within the first sentences, so that a model of the beginning sees it, too.
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
        """Return one toxic phrase per label except the general one, often beside a denied harmless one."""
        uniform = self._random.random
        names = [name for name, flag in zip(LABELS, flags, strict=True) if flag == "1" and name != "toxic"]
        phrases = [_pick(self._asserted[name], uniform) for name in names or ["toxic"]]
        if uniform() < _MIRRORED:
            phrases.append(_pick(self._negated, uniform))
        return self._turned(phrases)

    def _turned(self, phrases: list[str]) -> list[str]:
        """Return the phrases rotated: a cheap shuffle."""
        first = int(self._random.random() * len(phrases))
        return phrases[first:] + phrases[:first]

    def _written(self, phrases: list[str]) -> list[str]:
        """Return the phrases in a human style: capitals, ends of sentences, occasional shouting."""
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
