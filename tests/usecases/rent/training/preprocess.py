import argparse
from pathlib import Path

import polars as pl

parser = argparse.ArgumentParser()
parser.add_argument("--input-dir", type=Path, required=True)
parser.add_argument("--output-dir", type=Path, required=True)
parser.add_argument("--test_fraction", type=float, required=True)
arguments = parser.parse_args()

table = pl.read_csv(arguments.input_dir / "dataset.csv").sample(fraction=1, shuffle=True, seed=1)
cut = int(table.height * arguments.test_fraction)
test, train = table[:cut], table[cut:]
year = train["built"].median()
for split, part in {"train": train, "test": test}.items():
    (arguments.output_dir / split).mkdir()
    filled = part.with_columns(pl.col("built").is_null().alias("guessed"), pl.col("built").fill_null(year))
    filled.write_parquet(arguments.output_dir / split / "flats.parquet")
