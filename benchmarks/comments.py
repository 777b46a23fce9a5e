"""The comments on which benchmarks train and which they send: the built-in sample, or a folder with the real ones."""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_ROWS = 41_600
# The competition's rows at their natural rates, and additional toxic rows.
NATURAL, ENRICHED = "train", "extra"
COLUMNS = ("id", "comment_text")


def add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        type=Path,
        help="a folder with Kaggle's Jigsaw comments as train.csv or train.csv.gz, and perhaps more as extra.csv(.gz); "
        "or one such file. Without it: the built-in sample",
    )
    parser.add_argument("--sample-rows", type=int, default=SAMPLE_ROWS, help="how many rows of the sample")


def write_comments(source: Path | None, rows: int, folder: Path) -> set[str]:
    """Write the CSVs into the folder. Return the ids of the rows with natural rates."""
    folder.mkdir(parents=True, exist_ok=True)
    files = _files(source) if source else {}
    for name, path in files.items():
        (folder / f"{name}.csv").write_bytes(_content(path))
    if not files:
        write_sample(folder / f"{NATURAL}.csv", rows)
    return {row["id"] for row in _rows(folder / f"{NATURAL}.csv")}


def write_sample(path: Path, rows: int) -> None:
    """Write generated comments, the same as `mlops download-data --source sample`."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        options = ["--output-dir", folder, "--rows", str(rows), "--seed", "42"]
        command = [sys.executable, "-m", "sample.generate", *options]
        subprocess.run(command, cwd=ROOT / "training", check=True, stdout=subprocess.DEVNULL)
        Path(folder, "comments.csv").replace(path)


def some_texts(source: Path | None, rows: int, count: int, folder: Path) -> list[str]:
    """Return comments, chosen at random but always the same ones."""
    write_comments(source, rows, folder)
    texts = [row["comment_text"] for row in _rows(folder / f"{NATURAL}.csv")]
    return random.Random(7).sample(texts, min(count, len(texts)))


def name_of(source: Path | None, rows: int) -> str:
    return f"comments of {source}" if source else f"{rows:,} rows of the built-in sample"


def _files(source: Path) -> dict[str, Path]:
    if source.is_file():
        return {NATURAL: source}
    candidates = {
        name: path
        for name in (NATURAL, ENRICHED)
        for path in (source / f"{name}.csv.gz", source / f"{name}.csv")
        if path.is_file()
    }
    if NATURAL not in candidates:
        raise SystemExit(
            f"{source} holds no {NATURAL}.csv or {NATURAL}.csv.gz. Get it: "
            "kaggle competitions download jigsaw-toxic-comment-classification-challenge. Or leave --source out, for "
            "the built-in sample."
        )
    return candidates


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError) as error:
        raise SystemExit(f"{path} is damaged: {error}") from None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise SystemExit(f"The comments have no column {', '.join(missing)}: they are not the competition's.")
        yield from reader
