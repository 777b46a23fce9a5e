"""The gate on the data, before anything is trained; by hand, after preprocess.py:

    MLOPS_DATA_DIR=/tmp/dataset PYTHONPATH=. python -m pytest tests/test_pretraining.py

Thresholds are in usecase.toml under [gates.pre-training].
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from common import usecase
from common.cleaning import rough_word_count

FOLDER = Path(os.environ["MLOPS_DATA_DIR"])
SPLITS = ("train", "validation", "test")
TEXT, LABELS = usecase.text_column(), usecase.labels()
GATE = usecase.gate("pre-training")
VOCABULARY_ROWS = 50_000

each_split = pytest.mark.parametrize("split", SPLITS)
each_label = pytest.mark.parametrize("label", LABELS)


def scan(split: str) -> pl.LazyFrame:
    return pl.scan_parquet(FOLDER / split / "*.parquet")


def rows(split: str) -> int:
    return int(scan(split).select(pl.len()).collect().item())


def rate(split: str, label: str) -> float:
    return float(scan(split).select(pl.col(label).cast(pl.Float64).mean()).collect().item())


def text_hashes(split: str) -> pl.Series:
    """Return numbers instead of texts, so that a large data set fits into memory."""
    return scan(split).select(pl.col(TEXT).hash()).collect().to_series()


def words(split: str) -> pl.Series:
    """Return how many words each row has."""
    return scan(split).select(rough_word_count(TEXT)).collect().to_series()


def test_there_are_enough_rows() -> None:
    total, expected = sum(rows(split) for split in SPLITS), GATE["min_rows"]
    assert total >= expected, f"the data has {total:,} rows, expected at least {expected:,}"


@each_split
def test_no_split_is_empty(split: str) -> None:
    assert rows(split) > 0, f"the {split} split is empty"


@each_split
def test_every_text_has_all_its_labels(split: str) -> None:
    counts = scan(split).select(pl.col(TEXT, *LABELS).count()).collect().row(0, named=True)
    texts = counts.pop(TEXT)
    short = {label: count for label, count in counts.items() if count != texts}
    assert not short, f"the {split} split has {texts:,} texts, but labels for {short} of them"


def test_there_are_as_many_classes_as_expected() -> None:
    columns = set(scan("train").collect_schema().names())
    present = [label for label in LABELS if label in columns]
    assert present == LABELS, f"{len(present)} classes ({', '.join(present)}), [data.columns] names {len(LABELS)}"


@each_label
@each_split
def test_labels_are_zero_or_one(split: str, label: str) -> None:
    wrong = scan(split).filter(~pl.col(label).is_in([0, 1])).select(label).head(1).collect()
    assert wrong.is_empty(), f"{split}: {label} is {wrong.item() if wrong.height else None} in a row, expected 0 or 1"


@each_label
def test_the_base_rate_is_as_expected(label: str) -> None:
    assert label in GATE["base_rate"], f"usecase.toml has no [gates.pre-training.base_rate] for {label}"
    (low, high), actual = GATE["base_rate"][label], rate("train", label)
    assert low <= actual <= high, (
        f"{label}: {actual:.2%} of the training rows are positive, expected {low:.2%} to {high:.2%}"
    )


@each_label
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_splits_are_stratified(split: str, label: str) -> None:
    gap, allowed = abs(rate(split, label) - rate("train", label)), GATE["max_rate_gap"]
    assert gap <= allowed, (
        f"{label}: its rate in the {split} split differs from that in train by {100 * gap:.2f} percentage points, "
        f"allowed are {100 * allowed:.2f}"
    )


def test_texts_are_as_long_as_expected() -> None:
    low, high = GATE["median_words"]
    median = float(words("train").median())  # type: ignore[arg-type]
    assert low <= median <= high, f"half of the texts have up to {median:.0f} words, expected {low} to {high}"


@each_split
def test_no_text_is_empty_or_endless(split: str) -> None:
    empty = scan(split).filter(pl.col(TEXT).str.strip_chars() == "").select(pl.len()).collect().item()
    assert not empty, f"{empty:,} texts of the {split} split are empty"
    longest, allowed = words(split).to_numpy().max(initial=0), GATE["max_words"]
    assert longest <= allowed, f"a text of the {split} split has {longest:,} words, expected at most {allowed:,}"


def test_the_vocabulary_is_large_enough() -> None:
    """Count only words that occur at least twice: ids and misspellings are no vocabulary."""
    pieces = scan("train").head(VOCABULARY_ROWS).select(pl.col(TEXT).str.to_lowercase().str.split(" ").explode())
    distinct = pieces.collect().to_series().value_counts().filter(pl.col("count") > 1).height
    expected = GATE["min_vocabulary"]
    assert distinct >= expected, (
        f"the training texts repeat {distinct:,} different words, expected at least {expected:,}"
    )


@each_split
def test_no_text_is_there_twice(split: str) -> None:
    hashes = text_hashes(split)
    repeated = len(hashes) - hashes.n_unique()
    assert not repeated, f"{repeated:,} rows of the {split} split repeat the text of another one"


@pytest.mark.parametrize(("first", "second"), [("train", "validation"), ("train", "test"), ("validation", "test")])
def test_no_text_is_in_two_splits(first: str, second: str) -> None:
    leaked = int(text_hashes(second).is_in(text_hashes(first).implode()).sum())
    assert not leaked, f"{leaked:,} texts of the {second} split are in the {first} split, too"
