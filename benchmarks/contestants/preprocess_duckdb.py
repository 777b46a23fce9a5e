"""The steps of preprocess.py as one query of DuckDB, for `benchmarks.preprocessing`: SOURCE OUTPUT."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))
from common import usecase
from common.cleaning import RULES

ID, TEXT, LABELS = usecase.id_column(), usecase.text_column(), usecase.labels()
GOLDEN_RATIO = (1 + 5**0.5) / 2


def cleaned(text: str) -> str:
    for pattern, replacement in RULES:
        text = f"regexp_replace({text}, '{pattern}', '{replacement}', 'g')"
    return text


def main() -> None:
    source, output = sys.argv[1:]
    labels = ", ".join(LABELS)
    numbers = ", ".join(f"{label}::UTINYINT AS {label}" for label in LABELS)
    any_positive = ", ".join(f"max({label}) AS {label}" for label in LABELS)
    # The parallel reader refuses line breaks inside quotation marks.
    query = f"""
    COPY (
        WITH cleaned AS (
            SELECT {ID}, {cleaned(f"coalesce({TEXT}, '')")} AS {TEXT}, {numbers}
            FROM read_csv('{source}/*.csv', all_varchar = true, header = true, parallel = false)
        ), merged AS (
            SELECT min({ID}) AS {ID}, {TEXT}, {any_positive}, md5_number_lower('42' || {TEXT}) AS hash
            FROM cleaned WHERE {TEXT} <> '' GROUP BY {TEXT}
        ), positioned AS (
            SELECT *, (row_number() OVER (PARTITION BY {labels} ORDER BY hash) * {GOLDEN_RATIO}) % 1 AS position
            FROM merged
        )
        SELECT {ID}, {TEXT}, {labels},
            CASE WHEN position < 0.1 THEN 'validation' WHEN position < 0.2 THEN 'test' ELSE 'train' END AS split
        FROM positioned ORDER BY hash
    ) TO '{output}' (FORMAT parquet, PARTITION_BY (split), OVERWRITE_OR_IGNORE)
    """
    with duckdb.connect(config={"temp_directory": f"{output}/temporary"}) as connection:
        connection.execute(query)


if __name__ == "__main__":
    main()
