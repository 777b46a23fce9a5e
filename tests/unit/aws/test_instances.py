from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from mlops_cli.cli.instances_file import instances_from
from mlops_cli.errors import ConfigurationError, MlopsError

BOM = b"\xef\xbb\xbf"


COLUMNS = {"Customer ID": "id", "price (€)": "number?", "plan": '["a", ""]', "left?": "label", "note": "text"}


def read(tmp_path: Path, name: str, content: bytes | str, are_texts: bool = False) -> list[object]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return instances_from(path, COLUMNS, ["a text"] if are_texts else [{"price (€)": 1}])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_a_line_ends_where_an_editor_ends_it(tmp_path, end, inside):
    assert read(tmp_path, "a.txt", f"one{inside}two{end}{end}three{end}") == [f"one{inside}two", "three"]


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_instance(tmp_path, name):
    content = {"a.txt": b"one\ntwo", "a.json": b'["one", "two"]', "a.jsonl": b'"one"\n"two"'}[name]
    assert read(tmp_path, name, BOM + content) == ["one", "two"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "A.JSONL"])
def test_json_lines_are_values(tmp_path, name):
    rows = [{"text": "a\u2028b"}, "b", [1, 2], None]
    lines = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert read(tmp_path, name, lines + "\n\n") == rows


def test_a_line_that_is_no_json_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"a\.jsonl line 3 is not valid JSON"):
        read(tmp_path, "a.jsonl", '{"a": 1}\n\n{"a": \n')


def test_json_of_both_forms(tmp_path):
    assert read(tmp_path, "a.JSON", '{"instances": [1, 2]}') == [1, 2]
    with pytest.raises(ConfigurationError, match="not valid JSON") as caught:
        read(tmp_path, "a.json", '{"a": 1}\n{"a": 2}')
    assert ".jsonl" in caught.value.hint


@pytest.mark.parametrize("name", ["missing.txt", "folder"])
def test_what_cannot_be_read_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match=name):
        instances_from(tmp_path / name, COLUMNS, [])


def test_text_that_is_not_utf8(tmp_path):
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read(tmp_path, "a.txt", b"caf\xe9")


CSV = 'Customer ID,price (€),plan,left?,new,note\r\n007,20.50,a,1,3,"x, y"\n\n008,,,0,004,z\n'


def test_a_table_has_an_object_for_each_row_with_the_numbers_of_the_schema(tmp_path):
    rows = read(tmp_path, "a.csv", BOM + CSV.encode())
    first = {"Customer ID": "007", "price (€)": 20.5, "plan": "a", "left?": 1, "new": 3, "note": "x, y"}
    second = {"Customer ID": "008", "price (€)": None, "plan": None, "left?": 0, "new": "004", "note": "z"}
    assert rows == [first, second]
    assert read(tmp_path, "a.CSV", CSV, are_texts=True) == ["x, y", "z"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Customer ID;plan\n1;a\n", r"names no column of \[data.columns\]: Customer ID, price"),
        ("plan,note\na,x,7\n", r"a\.csv line 2 has 3 cells, and the header 2"),
        ('plan,note\na,"x\n', r"a\.csv line 2 is not CSV"),
        ("plan,note\n", "has nothing to predict"),
        ("", "has nothing to predict"),
    ],
)
def test_a_table_that_cannot_be_sent_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(ConfigurationError, match=message):
        read(tmp_path, "a.csv", content)


def test_a_table_without_a_column_of_texts_has_no_texts(tmp_path):
    with pytest.raises(ConfigurationError, match="has 0 columns of texts"):
        read(tmp_path, "a.csv", "plan\na\n", are_texts=True)


def test_a_parquet_file_has_the_instances_of_the_same_csv(tmp_path):
    polars = pytest.importorskip("polars")
    path = tmp_path / "a[1].PARQUET"
    day = date(2026, 11, 30)
    polars.DataFrame(
        {
            "Customer ID": ["007", "8"],
            "price (€)": [20.5, None],
            "left?": [True, False],
            "day": [day, None],
            "note": ["x", "y"],
        }
    ).write_parquet(path)
    assert instances_from(path, COLUMNS, []) == [
        {"Customer ID": "007", "price (€)": 20.5, "left?": 1, "day": "2026-11-30", "note": "x"},
        {"Customer ID": "8", "price (€)": None, "left?": 0, "day": None, "note": "y"},
    ]
    assert instances_from(path, COLUMNS, ["a text"]) == ["x", "y"]
    with pytest.raises(ConfigurationError, match="names no column of"):
        instances_from(path, {"other": "number"}, [])
    path.write_bytes(b"PAR1")
    with pytest.raises(MlopsError, match="is damaged or no Parquet file"):
        instances_from(path, COLUMNS, [])


def test_a_binary_file_is_an_instance_of_a_model_that_takes_them(tmp_path):
    assert read_binary(tmp_path, "a.png", [{"b64": "AAAA"}]) == [{"b64": "iVBO/w=="}]
    for examples in ([], ["a text"], [{"b64": "AAAA", "size": 1}]):
        with pytest.raises(ConfigurationError, match=r"a\.png is not UTF-8") as caught:
            read_binary(tmp_path, "a.png", examples)
        assert '{"b64": ...}' in caught.value.hint


def read_binary(tmp_path: Path, name: str, examples: list[object]) -> list[object]:
    (tmp_path / name).write_bytes(b"\x89PN\xff")
    return instances_from(tmp_path / name, COLUMNS, examples)
