"""The dataset in several files: no row is lost, cut or out of order."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mlops_cli.data.tables.shards import split


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 60])
def test_the_files_together_are_the_dataset(tmp_path: Path, count: int) -> None:
    texts = ["plain", 'with "quotes"', "two\nlines", 'a ""\n" mess\r\n,', ""]
    rows = [[str(number), texts[number % len(texts)] * (number % 4)] for number in range(50)]
    source = tmp_path / "dataset.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *rows])
    shards = [rows_of(path) for path in split(source, count, tmp_path)]
    assert len(shards) == count
    assert [shard[0] for shard in shards] == [["id", "text"]] * count
    assert [row for shard in shards for row in shard[1:]] == rows


def test_the_files_are_about_equally_large(tmp_path: Path) -> None:
    source = tmp_path / "dataset.csv"
    source.write_text("id,text\n" + "".join(f"{number},some text\n" for number in range(1000)))
    sizes = [path.stat().st_size for path in split(source, 4, tmp_path)]
    assert max(sizes) - min(sizes) < 100
