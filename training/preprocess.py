"""Raw CSV files to cleaned, split, columnar data; as a SageMaker Processing job, or by hand:

    python preprocess.py --input-dir ../.mlops/data --output-dir /tmp/dataset --seed 42

Reads every *.csv in the input folder and writes train/, validation/ and test/ (Parquet) and profile.json.

- Texts are cleaned (cleaning.py); an empty result is dropped, and counted.
- Of rows with the same cleaned text the first is kept, so that no text is in two splits. It gets every label of any of
  them: a missed label is the likelier error.
- Rows are ordered by a seeded hash of their text and assigned to the splits per combination of labels.
- Memory does not grow with the input: the first pass streams the rows into buckets on disk, by hash; the second reads
  the buckets in order, one by one. So the output depends only on the rows and the seed, not on the number of threads
  nor on the size or order of the blocks.
- Several instances each read their own files and then own a range of the buckets: they send each other its rows
  (exchange.py). All their files together equal those of one machine.
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
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

# Return freed memory at once: polars' allocator keeps it for a while by default.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")

import numpy as np
import polars as pl

import cleaning
import usecase
from buckets import Buckets, packed
from exchange import Exchange, read_hosts
from profiling import Profile
from progress import Progress
from records import BadInput, Block, read_blocks
from splits import NAMES, Assignment

ID, TEXT, LABELS = usecase.id_column(), usecase.text_column(), usecase.labels()
COLUMNS = list(usecase.columns())
BUCKET_BYTES = 8 << 20
GROUP_BLOCKS = 4
RESOURCES = Path(os.environ.get("SM_RESOURCE_CONFIG_FILE", "/opt/ml/config/resourceconfig.json"))

Item = TypeVar("Item")
Result = TypeVar("Result")


def preprocess(
    input_dir: Path,
    output_dir: Path,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    resource_config: Path = RESOURCES,
) -> None:
    """Raise BadInput, with no result in the output folder, or PeerGone."""
    _clear(output_dir)
    sources = sorted(input_dir.glob("*.csv"))
    buckets = Buckets(output_dir / "buckets")
    exchange = Exchange(*read_hosts(resource_config), buckets.append)
    try:
        shares = exchange.gather([(source.name, source.stat().st_size) for source in sources])
        names = sorted(name for share in shares for name, _ in share)
        if not names:
            raise BadInput(f"{input_dir}: no *.csv file in it")
        count = 1 + sum(size for share in shares for _, size in share) // BUCKET_BYTES
        plan = Plan(count, {source: names.index(source.name) for source in sources}, exchange)
        profile = Profile()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            fill(plan, seed, profile, pool)
            assignment = Assignment(validation_fraction, test_fraction, seed)
            deal(plan, buckets, output_dir, assignment, profile, pool)
        write_profile(output_dir, profile, exchange)
    finally:
        exchange.close()
        shutil.rmtree(output_dir / "buckets")


@dataclass(frozen=True)
class Plan:
    """``count`` buckets, assigned to the hosts in order; this host's files and their indices among all files."""

    count: int
    sources: dict[Path, int]
    exchange: Exchange

    def owner(self, bucket: int) -> int:
        return bucket * self.exchange.size // self.count

    @property
    def own(self) -> list[int]:
        return [bucket for bucket in range(self.count) if self.owner(bucket) == self.exchange.rank]


def fill(plan: Plan, seed: int, profile: Profile, pool: ThreadPoolExecutor) -> None:
    """First pass: every row, cleaned and checked, into the bucket of its hash."""

    def prepare(block: Block) -> tuple[Profile, Block, pl.DataFrame]:
        frame = cleaned(block)
        full = frame.filter(pl.col(TEXT) != "")
        read = Profile(rows_in=frame.height, empty=frame.height - full.height)
        return read, block, with_hash(full, seed)

    def pack(group: tuple[int, list[pl.DataFrame]]) -> tuple[int, dict[int, bytes]]:
        order, frames = group
        frame = without_duplicates(pl.concat(frames))
        return order, {number: packed(part) for number, part in _parted(frame, plan.count)}

    def groups() -> Iterator[tuple[int, list[pl.DataFrame]]]:
        """Yield the prepared blocks of a file in groups: packing many small parts is slow."""
        progress, done = Progress(sum(source.stat().st_size for source in plan.sources) >> 20), 0
        for source, file_index in plan.sources.items():
            group: list[pl.DataFrame] = []
            order = file_index << 40  # leaves room for the position of a group in its file
            for read, block, frame in in_order(pool, prepare, read_blocks(source)):
                profile.merge(read)
                group.append(frame)
                done += len(block.content)
                progress(done >> 20, "MB read")
                if len(group) == GROUP_BLOCKS:
                    yield order, group
                    group, order = [], (file_index << 40) + block.start + len(block.content)
            if group:
                yield order, group

    for order, parts in in_order(pool, pack, groups(), ahead=1):
        for number, part in parts.items():
            plan.exchange.send(plan.owner(number), number, order, part)


def deal(
    plan: Plan,
    buckets: Buckets,
    output_dir: Path,
    assignment: Assignment,
    profile: Profile,
    pool: ThreadPoolExecutor,
) -> None:
    """Second pass: each bucket's rows, without duplicates and in order of hash, into the splits."""

    def prepare(number: int) -> pl.DataFrame:
        frames = buckets.take(number)
        return without_duplicates(pl.concat(frames)).sort("hash") if frames else pl.DataFrame()

    def count(number: int) -> Counter[int]:
        """Return the rows per combination of a bucket; put its rows back without duplicates."""
        frame = prepare(number)
        if not frame.height:
            return Counter()
        buckets.append(number, 0, packed(frame))
        return Counter(dict(frame["combination"].value_counts().iter_rows()))

    plan.exchange.gather(None)  # all rows are in their buckets now
    if plan.exchange.size > 1:
        counts = plan.exchange.gather(list(sum(in_order(pool, count, plan.own), Counter()).items()))
        for before in counts[: plan.exchange.rank]:
            assignment.pass_over(dict(before))

    def write(dealt: tuple[int, pl.DataFrame, pl.Series]) -> Profile:
        number, frame, split_indices = dealt
        written = Profile()
        for split_index, name in enumerate(NAMES):
            part = frame.filter(split_indices == split_index).select(COLUMNS)
            written.add(name, part, TEXT, LABELS)
            part.write_parquet(output_dir / name / f"part-{number:05d}.parquet", compression_level=1)
        return written

    prepared = zip(plan.own, in_order(pool, prepare, plan.own), strict=True)
    dealt = ((number, frame, assignment.split(frame["combination"])) for number, frame in prepared if frame.height)
    progress = Progress(len(plan.own))
    for done, written in enumerate(in_order(pool, write, dealt), 1):
        profile.merge(written)
        progress(done, "buckets written")


def write_profile(output_dir: Path, profile: Profile, exchange: Exchange) -> None:
    """Write the merged profile of all hosts, on the first of them."""
    first, *rest_profiles = (Profile.parse(share) for share in exchange.gather(profile.plain))
    for profile_part in rest_profiles:
        first.merge(profile_part)
    if exchange.rank == 0:
        text = json.dumps(first.report(LABELS), indent=1) + "\n"
        (output_dir / "profile.json").write_text(text, encoding="utf-8")


def cleaned(block: Block) -> pl.DataFrame:
    """Return the text cleaned, the labels as UInt8. Raise BadInput for an invalid label."""
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
    """Add the combination, and a hash of seed and text that is stable everywhere, unlike polars' own."""
    key = str(seed).encode()
    texts = frame[TEXT].cast(pl.Binary).to_list()
    digests = b"".join([blake2b(text, digest_size=8, key=key).digest() for text in texts])
    hashes = np.frombuffer(digests, ">u8").astype(np.uint64)
    return _with_combination(frame.with_columns(pl.Series("hash", hashes)))


def without_duplicates(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row per text: the first one's id, with every label of any of them."""
    repeated = frame["hash"].is_duplicated()
    if not repeated.any():
        return frame
    other_columns = [column for column in frame.columns if column not in (TEXT, *LABELS)]
    merged = (
        frame.filter(repeated)
        .group_by(TEXT)
        .agg(pl.col(other_columns).first(), pl.col(LABELS).max())
        .sort(TEXT)
        .select(frame.columns)
    )
    return pl.concat([frame.filter(~repeated), _with_combination(merged)]).sort("hash", maintain_order=True)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int = os.cpu_count() or 1
) -> Iterator[Result]:
    """Yield ``work`` of each item, run by the pool, in the items' order and at most ``ahead`` of the consumer."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _with_combination(frame: pl.DataFrame) -> pl.DataFrame:
    bits = (pl.col(label).cast(pl.Int64) * (1 << bit) for bit, label in enumerate(LABELS))
    return frame.with_columns(combination=pl.sum_horizontal(*bits))


def _parted(frame: pl.DataFrame, count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the rows of each bucket; a bucket is a range of hashes, so buckets in order are in order of hash."""
    width = -(-(1 << 64) // count)
    ordered = frame.sort("hash")
    bounds = [ordered["hash"].search_sorted(min(number * width, (1 << 64) - 1)) for number in range(1, count)]
    for number, (start, end) in enumerate(zip([0, *bounds], [*bounds, frame.height], strict=True)):
        if end > start:
            yield number, ordered[start:end]


def _clear(output_dir: Path) -> None:
    """Delete the output of an earlier, perhaps killed, run; keep other files."""
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
    parser.add_argument("--resource-config", type=Path, default=RESOURCES, help="which instances there are")
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        preprocess(**vars(arguments))
    except (BadInput, OSError) as error:
        print(f"preprocess.py: {error}", file=sys.stderr)
        return 1
    profile = arguments.output_dir / "profile.json"
    print(f"{profile.read_text() if profile.exists() else ''}{time.monotonic() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
