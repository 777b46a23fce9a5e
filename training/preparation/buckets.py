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


class Read(Protocol):
    def __call__(self, source: Path, profile: Profile) -> Iterator[pl.DataFrame]:
        """Yield a source's rows with their hash. Count them in ``profile``."""


class Write(Protocol):
    def __call__(self, bucket: int, parts: list[pl.DataFrame], output_dir: Path) -> Profile:
        """Write a bucket's rows. Return their counts."""


def process_alone(sources: list[Path], output_dir: Path, read: Read, write: Write) -> Profile:
    """Scatter the rows of all sources into buckets on disk, then write one bucket after the other."""
    count = bucket_count(sources)
    profile, progress, size = Profile(), Progress(sum(source.stat().st_size for source in sources) >> 20), 0
    for number, source in enumerate(sources):
        for batch_number, rows in enumerate(read(source, profile)):
            size += int(rows.estimated_size())
            progress(size >> 20, "MB read")
            for bucket, part in partition(rows, count):
                path = output_dir / FOLDER / f"{bucket:05d}" / f"{number:05d}-{batch_number:05d}.arrow"
                path.parent.mkdir(parents=True, exist_ok=True)
                part.write_ipc(path)
    progress = Progress(count)
    for bucket in range(count):
        folder = output_dir / FOLDER / f"{bucket:05d}"
        profile.merge(write(bucket, [pl.read_ipc(path) for path in sorted(folder.glob("*.arrow"))], output_dir))
        shutil.rmtree(folder, ignore_errors=True)
        progress(bucket + 1, "buckets written")
    return profile


def process_together(client: Client, sources: list[Path], read: Read, write: Write) -> Profile:
    """Do the same as tasks of a cluster, on the workers' own disks: one for each source, then one for each bucket.

    If a worker dies, Dask repeats the tasks of the lost results. So all results are kept until the end.
    """
    count = bucket_count(sources)

    def scatter(name: str) -> tuple[Profile, dict[int, pl.DataFrame]]:
        profile, parts = Profile(), defaultdict(list)
        for rows in read(Path(os.environ[INPUT_DIR]) / name, profile):
            for bucket, part in partition(rows, count):
                parts[bucket].append(part)
        return profile, {bucket: pl.concat(parts[bucket]) for bucket in parts}

    def choose(scattered: tuple[Profile, dict[int, pl.DataFrame]], bucket: int) -> pl.DataFrame | None:
        return scattered[1].get(bucket)

    def write_part(bucket: int, *parts: pl.DataFrame | None) -> Profile:
        return write(bucket, [part for part in parts if part is not None], Path(os.environ[OUTPUT_DIR]))

    scattered = [client.submit(scatter, source.name) for source in sources]
    tasks = [client.submit(lambda result: result[0], result) for result in scattered]
    for bucket in range(count):
        chosen = [client.submit(choose, result, bucket) for result in scattered]
        tasks.append(client.submit(write_part, bucket, *chosen))
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


def partition(rows: pl.DataFrame, count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the rows of each of ``count`` buckets: equal ranges of the hash."""
    rows = rows.with_columns(bucket=pl.col("hash") // -(-(1 << 64) // count))
    for (bucket,), part in rows.partition_by("bucket", as_dict=True, include_key=False).items():
        yield bucket, part
