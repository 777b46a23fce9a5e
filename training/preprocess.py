"""Turn raw CSV files into cleaned, split rows in Parquet files; as a SageMaker Processing job, or by hand:

    python preprocess.py --input-dir ../.mlops/data --output-dir /tmp/dataset --seed 42

The output folder gets train/, validation/ and test/ with part-*.parquet, and profile.json. Five steps lead there:

1. Read every *.csv of the input folder. A label that is not 0 or 1 is an error that names line, column and value.
2. Clean the texts (cleaning.py). A row without text is dropped, and counted.
3. Merge the rows with the same text, so that no text is in two splits. The smallest id stays, with every label of any
   of these rows: a missed label is the likelier error.
4. Split the rows of each combination of labels by the fractions.
5. Sort by a seeded hash of the text: any part of the output is a random sample of the whole.

Steps 1 and 2 scatter the rows into buckets, by ranges of the hash; steps 3 to 5 take one bucket after the other
(preparation/buckets.py). So memory does not grow with the number of rows, and the output depends on the rows and the
seed alone. Several instances of a job, or several processes (--workers), share the steps and write the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

# Return freed memory at once: polars' allocator keeps it for a while by default. polars reads some pieces of a CSV file
# ahead: small ones, which by default grow with the file.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")
os.environ.setdefault("POLARS_CSV_CHUNK_SIZE", str(2 << 20))

import polars as pl

from common import cleaning, usecase
from preparation import buckets
from preparation.bad_rows import describe_bad_row
from preparation.cluster import INPUT_DIR, OUTPUT_DIR, ClusterError, read_hosts, start_cluster, work_for
from preparation.profiling import SPLITS, Profile

ID, TEXT, LABELS = usecase.id_column(), usecase.text_column(), usecase.labels()
COLUMNS = [ID, TEXT, *LABELS]
BATCH_ROWS = 20_000
GOLDEN_RATIO = (1 + 5**0.5) / 2


class BadInput(Exception):
    """Invalid raw data. The message names the file and the reason; for a bad row, its line, too."""


def preprocess(input_dir: Path, output_dir: Path, fractions: tuple[float, float], seed: int, workers: int = 1) -> None:
    """Write the splits and profile.json. Raise BadInput or ClusterError with nothing written.

    ``fractions``: those of validation and test. An instance that is not the first of its job works for the first.
    """
    clear(output_dir)
    hosts, current = read_hosts()
    os.environ |= {INPUT_DIR: str(input_dir.absolute()), OUTPUT_DIR: str(output_dir.absolute())}
    read, write = partial(read_batches, seed=seed), partial(write_bucket, fractions=fractions)
    try:
        if current != hosts[0]:
            work_for(hosts[0], workers)
            shutil.rmtree(output_dir / buckets.FOLDER, ignore_errors=True)
            return
        if len(hosts) == workers == 1:
            profile = buckets.process_alone(find_sources(input_dir), output_dir, read, write)
        else:
            with start_cluster(hosts, workers) as client:
                profile = buckets.process_together(client, find_sources(input_dir), read, write)
    except BaseException:
        clear(output_dir)
        raise
    shutil.rmtree(output_dir / buckets.FOLDER, ignore_errors=True)
    report = json.dumps(profile.report(LABELS), indent=1)
    (output_dir / "profile.json").write_text(report + "\n", encoding="utf-8")
    print(report, flush=True)


def find_sources(folder: Path) -> list[Path]:
    sources = sorted(folder.glob("*.csv"))
    if not sources:
        raise BadInput(f"{folder}: no *.csv file in it")
    return sources


def read_batches(source: Path, profile: Profile, seed: int) -> Iterator[pl.DataFrame]:
    """Yield the cleaned rows that have a text, with their hash. Count them in ``profile``. Raise BadInput."""
    text = pl.col(TEXT).fill_null("").map_batches(cleaning.clean, pl.String, is_elementwise=True)
    label = pl.col(LABELS).str.strip_chars()
    labels = pl.when(label == "1").then(1).when(label == "0").then(0).cast(pl.UInt8).name.keep()
    try:
        rows = pl.scan_csv(source, infer_schema=False)
        if missing := [column for column in COLUMNS if column not in rows.collect_schema()]:
            raise BadInput(f"{source.name}: no column {', '.join(missing)}")
        for batch in rows.select(ID, text, labels).collect_batches(chunk_size=BATCH_ROWS):
            if any(batch.select(LABELS).null_count().row(0)):
                reason = describe_bad_row(source, ID, LABELS) or "a label is not 0 or 1"
                raise BadInput(f"{source.name}: {reason}")
            kept = batch.filter(pl.col(TEXT) != "")
            profile.rows_in += batch.height
            profile.empty += batch.height - kept.height
            yield kept.with_columns(buckets.hash_texts(kept[TEXT], seed))
    except pl.exceptions.PolarsError as error:
        reason = describe_bad_row(source, ID, LABELS) or str(error).splitlines()[0]
        raise BadInput(f"{source.name}: {reason}") from error


def write_bucket(bucket: int, parts: list[pl.DataFrame], output_dir: Path, fractions: tuple[float, float]) -> Profile:
    """Merge, split and sort a bucket's rows, and write them as one part of each split. Count them."""
    profile = Profile()
    if not parts:
        return profile
    rows = merge_duplicates(pl.concat(parts)).sort("hash", TEXT)
    rows = rows.with_columns(split=choose_split(*fractions))
    for split in SPLITS:
        part = rows.filter(split=split).select(COLUMNS)
        # A worker may be killed while it writes, so write a complete file and then rename it.
        unfinished = output_dir / buckets.FOLDER / f"{split}-{bucket:05d}-{os.getpid()}.parquet"
        part.write_parquet(unfinished, compression_level=1, mkdir=True)
        unfinished.replace(output_dir / split / f"part-{bucket:05d}.parquet")
        profile.add(split, part, TEXT, LABELS)
    return profile


def merge_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each text, with the smallest id and every label of any of its rows."""
    repeated = rows["hash"].is_duplicated()
    merged = rows.filter(repeated).group_by(TEXT).agg(pl.col(ID).min(), pl.col(LABELS).max(), pl.col("hash").first())
    return pl.concat([rows.filter(~repeated), merged.select(rows.columns)])


def choose_split(validation: float, test: float) -> pl.Expr:
    """Return the split of each row: of the first n rows of a combination of labels, about n * fraction for any n.

    Multiples of the golden ratio fill [0, 1) evenly. Each combination starts at a random position; otherwise every rare
    combination would be in train only.
    """
    start = pl.col("hash").first() % 2**20 / 2**20
    position = (pl.int_range(pl.len()) * GOLDEN_RATIO + start) % 1
    held_out = pl.when(position < validation).then(pl.lit("validation")).when(position < validation + test)
    return held_out.then(pl.lit("test")).otherwise(pl.lit("train")).over(LABELS)


def clear(output_dir: Path) -> None:
    """Delete the output of an earlier, perhaps killed, run. Keep other files."""
    for name in (*SPLITS, buckets.FOLDER):
        shutil.rmtree(output_dir / name, ignore_errors=True)
    (output_dir / "profile.json").unlink(missing_ok=True)
    for split in SPLITS:
        (output_dir / split).mkdir(parents=True)


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value < 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 0.5)")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("/opt/ml/processing/input"))
    parser.add_argument("--output-dir", type=Path, default=Path("/opt/ml/processing/output"))
    kinds: dict[str, Callable[[str], float]] = {"validation_fraction": fraction, "test_fraction": fraction}
    for name, value in usecase.hyperparameters("preprocess").items():
        parser.add_argument(f"--{name}", type=kinds.get(name, int), default=str(value))
    arguments = parser.parse_args()
    fractions = arguments.validation_fraction, arguments.test_fraction
    start = time.monotonic()
    try:
        preprocess(arguments.input_dir, arguments.output_dir, fractions, arguments.seed, arguments.workers)
    except (BadInput, ClusterError, OSError) as error:
        print(f"preprocess.py: {error}", file=sys.stderr)
        return 1
    print(f"{time.monotonic() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
