"""Rows in buckets, by ranges of their hash: a bucket fits into memory, however many rows there are.

First all rows are read and scattered into buckets, then one bucket after the other is written: in this process, or as
the tasks of a cluster. preprocess.py defines how to read a source and how to write a bucket.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from common.progress import Progress
from preparation.cluster import INPUT_DIR, OUTPUT_DIR
from preparation.profiling import Profile

if TYPE_CHECKING:
    from distributed import Client

FOLDER = "buckets"  # below the output folder, while the rows are scattered
# A bucket becomes a part of each split. Training workers share the parts: at least a few.
BUCKET_BYTES, MIN_BUCKETS = 32 << 20, 8
# A batch is scattered into at most so many files or tasks, and has at least so many bytes: otherwise their number would
# grow with the square of the number of rows.
MOST_FILES, MOST_TASKS, BATCH_BYTES = 128, 1024, 16 << 20


class Read(Protocol):
    def __call__(self, source: Path, profile: Profile) -> Iterator[pl.DataFrame]:
        """Yield a source's rows with their hash. Count them in ``profile``."""


class Write(Protocol):
    def __call__(self, bucket: int, parts: list[pl.DataFrame], output_dir: Path) -> Profile:
        """Write a bucket's rows. Return their counts."""


def process_alone(sources: list[Path], output_dir: Path, read: Read, write: Write) -> Profile:
    """Scatter the rows of all sources into buckets on disk, then write one bucket after the other."""
    count = bucket_count(sources)
    profile = Profile()

    def batches() -> Iterator[pl.DataFrame]:
        progress, size = Progress(sum(source.stat().st_size for source in sources) >> 20), 0
        for source in sources:
            for rows in read(source, profile):
                size += int(rows.estimated_size())
                progress(size >> 20, "MB read")
                yield rows

    progress = Progress(count)
    for bucket, parts in scatter(batches(), range(count), count, output_dir / FOLDER):
        profile.merge(write(bucket, parts, output_dir))
        progress(bucket + 1, "buckets written")
    return profile


def scatter(
    batches: Iterator[pl.DataFrame], buckets: range, count: int, folder: Path
) -> Iterator[tuple[int, list[pl.DataFrame]]]:
    """Yield each of ``buckets`` with its rows, which are in files below ``folder`` until then.

    More than MOST_FILES buckets are scattered in ranges at first, and then the buckets of each range.
    """
    width = -(-len(buckets) // MOST_FILES)
    for number, rows in enumerate(join_batches(batches)):
        for index, part in partition(rows, count, buckets.start, width):
            path = folder / f"{index:05d}" / f"{number:05d}.arrow"
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_ipc(path)
    for index, start in enumerate(buckets[::width]):
        parts = map(pl.read_ipc, sorted((folder / f"{index:05d}").glob("*.arrow")))
        if width == 1:
            yield start, list(parts)
        else:
            its_buckets = range(start, min(start + width, buckets.stop))
            yield from scatter(parts, its_buckets, count, folder / f"{index:05d}")
        shutil.rmtree(folder / f"{index:05d}", ignore_errors=True)


def join_batches(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the rows in batches of at least BATCH_BYTES, except the last one."""
    joined: list[pl.DataFrame] = []
    for batch in batches:
        joined.append(batch)
        if sum(part.estimated_size() for part in joined) >= BATCH_BYTES:
            yield pl.concat(joined)
            joined = []
    if joined:
        yield pl.concat(joined)


def process_together(client: Client, sources: list[Path], read: Read, write: Write) -> Profile:
    """Do the same as tasks of a cluster, on the workers' own disks: one for each source, then one for each bucket.

    If a worker dies, Dask repeats the tasks of the lost results. So all results are kept until the end.
    """
    count = bucket_count(sources)
    width = -(-count // MOST_TASKS)

    def read_source(name: str) -> tuple[Profile, dict[int, pl.DataFrame]]:
        profile, parts = Profile(), defaultdict(list)
        for rows in read(Path(os.environ[INPUT_DIR]) / name, profile):
            for index, part in partition(rows, count, 0, width):
                parts[index].append(part)
        return profile, {index: pl.concat(parts[index]) for index in parts}

    def choose(result: tuple[Profile, dict[int, pl.DataFrame]], index: int) -> pl.DataFrame | None:
        return result[1].get(index)

    def write_buckets(start: int, *parts: pl.DataFrame | None) -> Profile:
        profile = Profile()
        if rows := [part for part in parts if part is not None]:
            for index, part in partition(pl.concat(rows), count, start, 1):
                profile.merge(write(start + index, [part], Path(os.environ[OUTPUT_DIR])))
        return profile

    results = [client.submit(read_source, source.name) for source in sources]
    tasks = [client.submit(lambda result: result[0], result) for result in results]
    for index, start in enumerate(range(0, count, width)):
        chosen = [client.submit(choose, result, index) for result in results]
        tasks.append(client.submit(write_buckets, start, *chosen))
    profile = Profile()
    parts: list[Profile] = client.gather(tasks)
    for part in parts:
        profile.merge(part)
    return profile


def bucket_count(sources: list[Path]) -> int:
    """Return the number of buckets. It does not depend on how many files have the rows."""
    headers = 0
    for source in sources:
        with source.open("rb") as lines:
            headers += len(lines.readline())
    size = sum(source.stat().st_size for source in sources) - headers
    return max(MIN_BUCKETS, size // BUCKET_BYTES)


def hash_texts(texts: pl.Series, seed: int) -> pl.Series:
    """Return a hash of seed and text that is the same everywhere, unlike the hash of polars."""
    key = str(seed).encode()
    digests = [blake2b(text, digest_size=8, key=key).digest() for text in texts.cast(pl.Binary).to_list()]
    return pl.Series("hash", np.frombuffer(b"".join(digests), ">u8").astype(np.uint64))


def partition(rows: pl.DataFrame, count: int, first: int, width: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the rows of each range of ``width`` buckets, counted from 0 at the bucket ``first``.

    The ``count`` buckets are equal ranges of the hash.
    """
    bucket = pl.col("hash") // -(-(1 << 64) // count)
    parts = rows.with_columns(index=(bucket - first) // width).partition_by("index", as_dict=True, include_key=False)
    for (index,), part in parts.items():
        yield index, part
