"""The table's columns in memory, shared by the scripts and the gate."""

from pathlib import Path

import polars as pl

NUMBERS = ["area", "rooms", "built"]
FEATURES = ["district", *NUMBERS]
TARGET = "rent"


def read(folder: str | Path) -> pl.DataFrame:
    return pl.read_parquet(Path(folder, "flats.parquet"))
