"""Categories, dates and missing values in a schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.data.tables.columns import column, column_text
from mlops_cli.data.tables.schema import Schema
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.usecase.reader import load_use_case

COLUMNS = {"plan": ["basic", "pro, plus", ""], "city": "category", "day": "date", "price": "number?", "left": "label?"}
HEADER = ",".join(COLUMNS) + "\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def get(request_for, source: Path, *rows: str):
    source.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    schema = Schema({name: column_text(spec) for name, spec in COLUMNS.items()})
    return download(request_for(source, schema=schema), source.parent / "data", no_report)[0]


def test_missing_values_are_written_as_missing(request_for, source: Path) -> None:
    rows = ['"pro, plus",Bern,2026-11-29,1.5,1', ",Basel,2024-02-29T12:30:00Z,,", "basic,Zug, 2026-01-01 , 2 ,0"]
    dataset = get(request_for, source, *rows)
    assert dataset.path.read_text() == (
        HEADER + '"pro, plus",Bern,2026-11-29,1.5,1\n,Basel,2024-02-29T12:30:00Z,,\nbasic,Zug,2026-01-01,2,0\n'
    )
    assert (dataset.rows, dataset.label_rates) == (3, {"left": pytest.approx(1 / 3)})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("gold,Bern,2026-11-29,1,1", 'line 2, column plan: "gold" is not one of "basic", "pro, plus"'),
        ("basic,,2026-11-29,1,1", "line 2, column city: is empty"),
        ("basic,Bern,29.11.2026,1,1", 'line 2, column day: "29.11.2026" is not a date such as 2026-11-29'),
        ("basic,Bern,2025-02-29,1,1", 'column day: "2025-02-29" is not a date'),
        ("basic,Bern,20251129,1,1", 'column day: "20251129" is not a date'),
        ("basic,Bern,2026-11-29T25:00,1,1", "is not a date"),
        ("basic,Bern,,1,1", "line 2, column day: is empty"),
        ("basic,Bern,2026-11-29,x,1", 'line 2, column price: "x" is not a number'),
        ("basic,Bern,2026-11-29,1,2", 'line 2, column left: "2" is not 0 or 1'),
    ],
)
def test_a_wrong_cell_is_named_with_line_column_and_value(request_for, source: Path, row: str, problem: str) -> None:
    with pytest.raises(MlopsError) as caught:
        get(request_for, source, row, "basic,Bern,2026-11-29,1,1")
    assert problem in caught.value.message


@pytest.mark.parametrize("cell", ["2026-11-29", "2026-11-29 08:30", "2026-11-29T08:30:15.123456+01:00"])
def test_dates_of_iso_8601(cell: str) -> None:
    assert column("date").allows([cell])


@pytest.mark.parametrize("spec", ["dates", "?", 3, [], [1], ["a", 2], {"a": 1}])
def test_a_kind_that_is_none_is_named(project_folder: Path, spec: object) -> None:
    path = project_folder / "training" / "usecase.toml"
    value = repr(spec).replace("'", '"').replace('{"a": 1}', "{ a = 1 }")
    path.write_text(path.read_text().replace('identity_hate = "label"', f"identity_hate = {value}"))
    with pytest.raises(ConfigurationError, match=r"data\.columns\.identity_hate is .*, expected one of id,"):
        load_use_case(path)
