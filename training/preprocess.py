"""Raw CSV files to cleaned, split, columnar data; as a SageMaker Processing job, or by hand:

    python preprocess.py --input-dir ../.mlops/data --output-dir /tmp/dataset --seed 42

Reads every *.csv in the input folder and writes train/, validation/ and test/ (Parquet) and profile.json.

- A text is cleaned (cleaning.py); one of which nothing is left is dropped, and counted.
- Of rows with the same cleaned text the first is kept, so that no text is in two splits. Where their labels
  differ it gets every label that any of them has: a label that one reader missed is the likelier error.
- Rows are ordered by a seeded hash of their text and dealt out to the splits for each combination of labels.
- Memory does not grow with the input: the first pass streams the rows into buckets on disk, by hash; the
  second takes the buckets in order, one by one. So the output depends on the rows and the seed alone, not on
  how many threads there are, nor on the size or order of the blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

# Memory that polars no longer needs goes back at once: its allocator keeps it for a while by default.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")

import numpy as np
import polars as pl

import cleaning
import usecase
from buckets import Buckets, packed
from progress import Progress
from records import BadInput, Block, read_blocks
from splits import NAMES, Assignment

ID, TEXT, LABELS = usecase.id_column(), usecase.text_column(), usecase.labels()
COLUMNS = list(usecase.columns())
BUCKET_BYTES = 8 << 20
GROUP_BLOCKS = 4
QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99, "max": 1.0}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Profile:
    """What profile.json says, counted as the rows go by."""

    rows_in: int = 0
    empty: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    positives: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in NAMES})
    words: Counter[int] = field(default_factory=Counter)
    characters: Counter[int] = field(default_factory=Counter)

    def add(self, name: str, frame: pl.DataFrame) -> None:
        self.rows[name] += frame.height
        self.positives[name].update({label: int(frame[label].sum()) for label in LABELS})
        text = frame[TEXT]
        self.words.update(_histogram(text.str.count_matches(" ", literal=True) + 1))
        self.characters.update(_histogram(text.str.len_chars()))

    def merge(self, other: Profile) -> None:
        self.rows_in += other.rows_in
        self.empty += other.empty
        self.rows.update(other.rows)
        self.words.update(other.words)
        self.characters.update(other.characters)
        for name in NAMES:
            self.positives[name].update(other.positives[name])

    def as_json(self) -> dict[str, Any]:
        rows_out = self.rows.total()
        return {
            "rows_in": self.rows_in,
            "rows_out": rows_out,
            "empty_dropped": self.empty,
            "duplicates_dropped": self.rows_in - self.empty - rows_out,
            "splits": {name: self._split(name) for name in NAMES},
            "words": _quantiles(self.words),
            "characters": _quantiles(self.characters),
            "words_histogram": _doublings(self.words),
        }

    def _split(self, name: str) -> dict[str, Any]:
        rows, positives = self.rows[name], self.positives[name]
        rates = {label: round(positives[label] / rows, 6) if rows else None for label in LABELS}
        return {"rows": rows, "label_counts": {label: positives[label] for label in LABELS}, "label_rates": rates}


def preprocess(input_dir: Path, output_dir: Path, validation_fraction: float, test_fraction: float, seed: int) -> None:
    """Raises BadInput, with nothing left in the output folder that looks like a result."""
    sources = sorted(input_dir.glob("*.csv"))
    if not sources:
        raise BadInput(f"{input_dir}: no *.csv file in it")
    _clear(output_dir)
    profile = Profile()
    size = sum(source.stat().st_size for source in sources)
    buckets = Buckets(output_dir / "buckets", 1 + size // BUCKET_BYTES)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            fill(buckets, sources, seed, profile, pool)
            deal(buckets, output_dir, Assignment(validation_fraction, test_fraction, seed), profile, pool)
    finally:
        shutil.rmtree(output_dir / "buckets")
    (output_dir / "profile.json").write_text(json.dumps(profile.as_json(), indent=1) + "\n", encoding="utf-8")


def fill(buckets: Buckets, sources: list[Path], seed: int, profile: Profile, pool: ThreadPoolExecutor) -> None:
    """First pass: every row, cleaned and checked, into the bucket that its hash names."""

    def prepare(block: Block) -> tuple[Profile, int, pl.DataFrame]:
        frame = cleaned(block)
        full = frame.filter(pl.col(TEXT) != "")
        read = Profile(rows_in=frame.height, empty=frame.height - full.height)
        return read, len(block.content), with_hash(full, seed)

    def pack(frames: list[pl.DataFrame]) -> dict[int, bytes]:
        frame = without_duplicates(pl.concat(frames))
        return {number: packed(part) for number, part in _parted(frame, buckets.count)}

    def groups() -> Iterator[list[pl.DataFrame]]:
        """The prepared blocks, several at a time: packing many small parts is slow."""
        progress, done = Progress(sum(source.stat().st_size for source in sources) >> 20), 0
        group: list[pl.DataFrame] = []
        for read, size, frame in in_order(
            pool, prepare, (block for source in sources for block in read_blocks(source))
        ):
            profile.merge(read)
            group.append(frame)
            done += size
            progress(done >> 20, "MB read")
            if len(group) == GROUP_BLOCKS:
                yield group
                group = []
        if group:
            yield group

    for parts in in_order(pool, pack, groups(), ahead=1):
        for number, part in parts.items():
            buckets.append(number, part)


def deal(
    buckets: Buckets, output_dir: Path, assignment: Assignment, profile: Profile, pool: ThreadPoolExecutor
) -> None:
    """Second pass: each bucket's rows, free of duplicates and in order of hash, into the splits."""

    def prepare(number: int) -> pl.DataFrame:
        frames = buckets.take(number)
        return without_duplicates(pl.concat(frames)).sort("hash") if frames else pl.DataFrame()

    def write(dealt: tuple[int, pl.DataFrame, pl.Series]) -> Profile:
        number, frame, places = dealt
        written = Profile()
        for place, name in enumerate(NAMES):
            part = frame.filter(places == place).select(COLUMNS)
            written.add(name, part)
            part.write_parquet(output_dir / name / f"part-{number:05d}.parquet", compression_level=1)
        return written

    prepared = enumerate(in_order(pool, prepare, range(buckets.count)))
    dealt = ((number, frame, assignment.split(frame["combination"])) for number, frame in prepared if frame.height)
    progress = Progress(buckets.count)
    for done, written in enumerate(in_order(pool, write, dealt), 1):
        profile.merge(written)
        progress(done, "buckets written")


def cleaned(block: Block) -> pl.DataFrame:
    """The text by the rules of cleaning.py, the labels as UInt8. Raises BadInput for what is no label."""
    raw = block.parse()
    for label in LABELS:
        wrong = raw.filter(~pl.col(label).str.strip_chars().is_in(["0", "1"]))
        if not wrong.is_empty():
            raise BadInput(
                f"{block.path.name}: row {wrong[ID][0]!r} has {label} = {wrong[label][0]!r}, expected 0 or 1"
            )
    text = pl.col(TEXT)
    for pattern, replacement in cleaning.RULES:
        text = text.str.replace_all(pattern, replacement)
    return raw.with_columns(text, *((pl.col(label).str.strip_chars() == "1").cast(pl.UInt8) for label in LABELS))


def with_hash(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Adds a hash of seed and text (the same everywhere and always, unlike polars' own) and the combination."""
    key = str(seed).encode()
    texts = frame[TEXT].cast(pl.Binary).to_list()
    digests = b"".join([blake2b(text, digest_size=8, key=key).digest() for text in texts])
    hashes = np.frombuffer(digests, ">u8").astype(np.uint64)
    return _with_combination(frame.with_columns(pl.Series("hash", hashes)))


def without_duplicates(frame: pl.DataFrame) -> pl.DataFrame:
    """One row for each text: the first one's id, and every label that any of them has."""
    again = frame["hash"].is_duplicated()
    if not again.any():
        return frame
    others = [column for column in frame.columns if column not in (TEXT, *LABELS)]
    merged = (
        frame.filter(again)
        .group_by(TEXT)
        .agg(pl.col(others).first(), pl.col(LABELS).max())
        .sort(TEXT)
        .select(frame.columns)
    )
    return pl.concat([frame.filter(~again), _with_combination(merged)]).sort("hash", maintain_order=True)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int = os.cpu_count() or 1
) -> Iterator[Result]:
    """``work`` of each item, done by the pool, in the items' order and at most so many ``ahead`` of who takes them."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _with_combination(frame: pl.DataFrame) -> pl.DataFrame:
    bits = (pl.col(label).cast(pl.Int64) * (1 << place) for place, label in enumerate(LABELS))
    return frame.with_columns(combination=pl.sum_horizontal(*bits))


def _parted(frame: pl.DataFrame, count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of each bucket; a bucket is a range of hashes, so that the buckets in order are in order of hash."""
    width = -(-(1 << 64) // count)
    ordered = frame.sort("hash")
    bounds = [ordered["hash"].search_sorted(min(number * width, (1 << 64) - 1)) for number in range(1, count)]
    for number, (start, end) in enumerate(zip([0, *bounds], [*bounds, frame.height], strict=True)):
        if end > start:
            yield number, ordered[start:end]


def _histogram(values: pl.Series) -> dict[int, int]:
    return dict(values.value_counts().iter_rows())


def _quantiles(histogram: Counter[int]) -> dict[str, int | None]:
    values = sorted(histogram)
    if not values:
        return dict.fromkeys(QUANTILES)
    counts = np.cumsum([histogram[value] for value in values])
    return {name: values[int(np.searchsorted(counts, q * counts[-1]))] for name, q in QUANTILES.items()}


def _doublings(histogram: Counter[int]) -> dict[str, int]:
    """How many rows have from 1, 2, 4, 8, ... on, by that number: what later data is compared with."""
    counts: Counter[int] = Counter()
    for value, count in histogram.items():
        counts[1 << (value.bit_length() - 1) if value else 0] += count
    return {str(edge): counts[edge] for edge in sorted(counts)}


def _clear(output_dir: Path) -> None:
    """Takes away what an earlier, perhaps killed, run left; other files stay."""
    for name in (*NAMES, "buckets"):
        if (output_dir / name).exists():
            shutil.rmtree(output_dir / name)
    (output_dir / "profile.json").unlink(missing_ok=True)
    for name in NAMES:
        (output_dir / name).mkdir(parents=True)


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value < 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 0.5)")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("/opt/ml/processing/input"))
    parser.add_argument("--output-dir", type=Path, default=Path("/opt/ml/processing/output"))
    parser.add_argument("--validation_fraction", type=_fraction, default=0.1)
    parser.add_argument("--test_fraction", type=_fraction, default=0.1)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        preprocess(**vars(arguments))
    except (BadInput, OSError) as error:
        print(f"preprocess.py: {error}", file=sys.stderr)
        return 1
    print(f"{(arguments.output_dir / 'profile.json').read_text()}{time.monotonic() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
