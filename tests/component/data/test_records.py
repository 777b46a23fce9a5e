"""Tables with a schema in other formats than CSV: JSON lines, Parquet, and tables in a tar archive."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.data.tables.record_readers import JsonLinesReader, ParquetReader
from mlops_cli.data.tables.schema import Problems, Schema
from mlops_cli.errors import MlopsError

SCHEMA = Schema({"id": "id", "text": "text", "bad": "label", "price": "number?", "day": "date?"})
ROWS = [
    {"id": "a", "text": 'two\n"lines"', "bad": 1, "price": 1.5, "day": date(2026, 11, 29), "more": "x"},
    {"id": "b", "text": "é", "bad": 0, "price": None, "day": None, "more": "y"},
]
TABLE = 'id,text,bad,price,day\n"a","two\n""lines""",1,1.5,2026-11-29\n"b","é",0,,\n'


def json_lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()


def parquet(rows: list[dict]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(rows).write_parquet(out)
    return out.getvalue()


def in_tar(name: str, content: bytes, *siblings: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member in (name, *siblings):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def in_zip(name: str, content: bytes, *siblings: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member in (name, *siblings):
            archive.writestr(member, content)
    return out.getvalue()


@pytest.fixture
def get(request_for: Callable, tmp_path: Path) -> Callable:
    def get_(name: str, content: bytes, **settings: object):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        source = tmp_path / name.split("/")[0]
        return download(request_for(source, schema=SCHEMA, **settings), tmp_path / "data", no_report)[0]

    return get_


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", json_lines(ROWS)),
        ("rows.ndjson", b"\xef\xbb\xbf" + json_lines(ROWS[:1]) + b"\n\r\n" + json_lines(ROWS[1:]).strip()),
        ("rows.jsonl.gz", gzip.compress(json_lines(ROWS))),
        ("rows.parquet", parquet(ROWS)),
        ("folder/rows.parquet", parquet(ROWS)),
        ("rows.tar.gz", in_tar("a/rows.jsonl", json_lines(ROWS))),
        ("rows.tgz", in_tar("rows.parquet", parquet(ROWS), "notes.txt")),
        ("rows.tar.gz", in_tar("train.csv", TABLE.encode(), "test.csv")),
        ("rows.zip", in_zip("a/rows.parquet", parquet(ROWS), "notes.txt")),
        ("rows.zip", in_zip("a/Rows.JSONL", json_lines(ROWS))),
        ("rows.zip", in_zip("rows.ndjson.gz", gzip.compress(json_lines(ROWS)))),
        ("rows.zip", in_zip("inner.zip", in_zip("rows.parquet", parquet(ROWS)))),
        ("folder/rows.zip", in_zip("rows.parquet", parquet(ROWS))),
    ],
)
def test_every_form_gives_the_same_table(get: Callable, name: str, content: bytes) -> None:
    dataset = get(name, content)
    assert dataset.path.read_text() == TABLE
    assert (dataset.rows, dataset.label_rates) == (2, {"bad": 0.5})
    assert dataset.ignored_columns == ([] if b"train.csv" in gzip_free(content) else ["more"])


@pytest.mark.parametrize(
    ("name", "content", "last"),
    [("rows.parquet", parquet(ROWS), (2, 2, "rows")), ("rows.jsonl", json_lines(ROWS), None)],
)
def test_the_check_reports_its_progress(
    request_for: Callable, tmp_path: Path, name: str, content: bytes, last: tuple[int, int, str] | None
) -> None:
    reports: list[tuple[str, int, int | None, str]] = []
    (tmp_path / name).write_bytes(content)
    request = request_for(tmp_path / name, schema=SCHEMA)
    download(request, tmp_path / "data", lambda *report: reports.append(report))
    assert [report for report in reports if report[0] == "check"][-1][1:] == (last or (len(content), len(content), "B"))


def gzip_free(content: bytes) -> bytes:
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('{"id": "a", "text": "x", "bad": 2}', 'rows.jsonl line 2, column bad: "2" is not 0 or 1'),
        ('{"id": "a", "bad": 1}', "rows.jsonl line 2, column text: is empty"),
        ('{"id": "a", "text": "x", "bad": 1, "price": NaN}', 'line 2, column price: "nan" is not a number'),
        ('{"id": "a", "text": "x", "bad": 1', 'rows.jsonl line 2: "{'),
        ('["a", "x", 1]', 'rows.jsonl line 2: "['),
        ('{"id": "0", "text": "x", "bad": 1}', 'rows.jsonl line 2, column id: "0" duplicates line 1'),
        ('\n{"id": "a", "text": "x", "bad": 1, "day": "soon"}', 'line 3, column day: "soon" is not a date'),
        ('{"id": "a", "text": "\\ud800", "bad": 1}', "line 2, column text: "),
    ],
)
def test_a_bad_line_is_named_with_its_number(get: Callable, lines: str, problem: str) -> None:
    with pytest.raises(MlopsError) as caught:
        get("rows.jsonl", b'{"id": "0", "text": "x\\ny", "bad": 1}\n' + lines.encode() + b"\n")
    assert problem in caught.value.message


def test_a_line_with_too_many_levels_is_named_with_its_number() -> None:
    """Reading and writing a nested list each have a depth at which they fail."""
    for depth in (*range(850, 1000), 100_000):
        problems = Problems()
        line = b'{"text": ' + b"[" * depth + b"]" * depth + b"}"
        reader = JsonLinesReader("rows.jsonl", io.BytesIO(line), Schema({"text": "text"}), problems)
        is_read = bool(list(reader.blocks()))
        assert is_read is (problems.count == 0), depth
    (problem,) = problems.named
    assert (problem.location, problem.line) == ("rows.jsonl", 1)
    assert problem.reason.endswith(" is not JSON, or nests too deeply")


def test_a_bad_row_of_parquet_is_named_with_its_number(get: Callable) -> None:
    rows = [{**ROWS[0], "id": str(number), "bad": 5 if number == 2_500 else 1} for number in range(3_000)]
    with pytest.raises(MlopsError, match=r'rows\.parquet line 2501, column bad: "5" is not 0 or 1'):
        get("rows.parquet", parquet(rows))
    with pytest.raises(MlopsError, match=r"the columns text, bad, price, day are missing; it has \"id\""):
        get("rows.parquet", parquet([{"id": "a"}]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 40 + b"PAR1", parquet(ROWS)[:-20], b"id,text\n"])
def test_a_damaged_parquet_file_is_one_error(get: Callable, content: bytes) -> None:
    with pytest.raises(MlopsError, match=r"rows\.parquet is damaged or no Parquet file"):
        get("rows.parquet", content)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (pl.Date, 2**31 - 1),
        (pl.Date, -719_163),
        (pl.Date, 2_932_897),
        (pl.Datetime("us"), 2**62),
        (pl.Datetime("ms"), -(2**62)),
        (pl.Datetime("us", "Europe/Berlin"), 2**62),
        (pl.Duration("ms"), 2**62),
        (pl.List(pl.Datetime("us")), 2**62),
    ],
)
def test_a_date_that_python_does_not_have_is_one_error(get: Callable, kind: pl.DataType, number: int) -> None:
    is_list = isinstance(kind, pl.List)
    frame = pl.DataFrame(ROWS[:1]).with_columns(pl.Series("day", [[number] if is_list else number]).cast(kind))
    out = io.BytesIO()
    frame.write_parquet(out)
    with pytest.raises(MlopsError, match=r"rows\.parquet has a (date outside of the years|value that Python cannot)"):
        get("rows.parquet", out.getvalue())


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "a?.parquet", "{a,b}.parquet"])
def test_a_file_name_is_no_pattern(get: Callable, tmp_path: Path, name: str) -> None:
    (tmp_path / "a1.parquet").write_bytes(parquet([{**ROWS[0], "id": "another file"}]))
    assert get(name, parquet(ROWS)).path.read_text() == TABLE


def test_of_several_tables_in_a_zip_the_one_in_the_file_setting_is_read(get: Callable) -> None:
    content = in_zip("a.parquet", parquet(ROWS), "b.parquet")
    with pytest.raises(MlopsError, match=r"rows\.zip contains several tables: a\.parquet, b\.parquet"):
        get("rows.zip", content)
    assert get("rows.zip", content, file="b.parquet").rows == 2


def test_several_tables_in_a_tar_are_named(get: Callable) -> None:
    with pytest.raises(MlopsError, match=r"rows\.tar\.gz contains several tables: it has a\.csv, b\.csv"):
        get("rows.tar.gz", in_tar("a.csv", TABLE.encode(), "b.csv"))
    assert get("rows.tar.gz", in_tar("a.csv", TABLE.encode(), "b.csv"), file="b.csv").rows == 2
    with pytest.raises(MlopsError, match=r"contains no table: it has notes\.txt"):
        get("rows.tar.gz", in_tar("notes.txt", b"x"))


def test_equal_long_texts_of_a_parquet_file_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Such a file stores the text once; a thousand rows of it are a gigabyte."""
    path = tmp_path / "rows.parquet"
    text = "x" * 1_000_000
    columns = {"id": range(100), "text": pl.Series([text] * 100, dtype=pl.Categorical), "bad": [1] * 100}
    pl.DataFrame(columns).write_parquet(path)
    assert path.stat().st_size < 100_000
    schema = Schema({"id": "id", "text": "text", "bad": "label"})
    blocks = list(ParquetReader("rows.parquet", path, schema).blocks())
    assert [len(block.rows) for block in blocks] == [8] * 12 + [4]
    assert [row[0] for block in blocks for row in block.rows] == [str(number) for number in range(100)]
    assert {row[1] for block in blocks for row in block.rows} == {text}


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Binary])
def test_a_cell_of_a_parquet_file_that_is_too_long_is_refused(get: Callable, kind: type[pl.DataType]) -> None:
    out = io.BytesIO()
    text = pl.Series(["x" * (16 * 2**20 + 1)], dtype=pl.String).cast(kind)
    pl.DataFrame({"id": ["a"], "text": text, "bad": [1], "price": [1.0], "day": [None]}).write_parquet(out)
    with pytest.raises(MlopsError) as caught:
        get("rows.parquet", out.getvalue())
    assert caught.value.message.endswith("rows.parquet has a cell of more than 16,777,216 bytes, in the rows from 1 on")


def test_a_parquet_file_that_would_fill_the_disk_is_refused(get: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_cli.data.compression.compressed._RATIO_MATTERS_FROM", 1_000)
    out = io.BytesIO()
    count = 20_000
    pl.DataFrame(
        {"id": range(count), "text": ["equal " * 1_000] * count, "bad": 1, "price": 1.0, "day": date(2026, 11, 29)}
    ).write_parquet(out)
    with pytest.raises(MlopsError) as caught:
        get("rows.parquet", out.getvalue())
    assert "is refused: it unpacks to more than 200 times its size" in caught.value.message
    assert caught.value.hint == "if that is right, give it as CSV"
