"""The steps of preprocess.py as one lazy query of polars, for `benchmarks.preprocessing`: SOURCE OUTPUT."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))
from common import cleaning, usecase

ID, TEXT, LABELS = usecase.id_column(), usecase.text_column(), usecase.labels()
GOLDEN_RATIO = (1 + 5**0.5) / 2


def main() -> None:
    source, output = sys.argv[1:]
    text = pl.col(TEXT).fill_null("").map_batches(cleaning.clean, pl.String, is_elementwise=True)
    position = (pl.int_range(pl.len()) * GOLDEN_RATIO % 1).over(LABELS)
    split = pl.when(position < 0.1).then(pl.lit("validation")).when(position < 0.2).then(pl.lit("test"))
    rows = (
        pl.scan_csv(f"{source}/*.csv", infer_schema=False)
        .select(ID, text, pl.col(LABELS).cast(pl.UInt8))
        .filter(pl.col(TEXT) != "")
        .group_by(TEXT)
        .agg(pl.col(ID).min(), pl.col(LABELS).max())
        .sort(pl.col(TEXT).hash(42))
        .with_columns(split=split.otherwise(pl.lit("train")))
    )
    rows.sink_parquet(pl.PartitionBy(output, key="split"), mkdir=True)


if __name__ == "__main__":
    main()
