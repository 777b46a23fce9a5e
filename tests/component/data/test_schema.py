from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import load
from mlops_cli.data.tables.schema import Schema, shown
from mlops_cli.errors import ConfigurationError, MlopsError

JIGSAW = Path(__file__).parents[4] / "shared/data/jigsaw"


@pytest.fixture
def problems(request_for, small, tmp_path):
    """Return the message about a file with this content."""

    def check(content: bytes) -> str:
        source = tmp_path / "given.csv"
        source.write_bytes(content)
        with pytest.raises(MlopsError) as caught:
            download(request_for(source, schema=small), tmp_path / "data", no_report)
        assert load(tmp_path / "data") is None
        return caught.value.message.replace(f"{source} ", "")

    return check


@pytest.fixture
def accepted(request_for, small, tmp_path):
    """Return the rows of the dataset with this content."""

    def read(content: bytes, schema: Schema = small) -> list[list[str]]:
        source = tmp_path / "given.csv"
        source.write_bytes(content)
        dataset, _ = download(request_for(source, schema=schema), tmp_path / "data", no_report)
        assert source.read_bytes() == content
        with dataset.path.open(encoding="utf-8", newline="") as stream:
            return list(csv.reader(stream, strict=True))

    return read


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"a,x,2", 'line 4, column bad: "2" is not 0 or 1'),
        (b"a,x,", 'line 4, column bad: "" is not 0 or 1'),
        (b"a,x,1.0", 'line 4, column bad: "1.0" is not 0 or 1'),
        (b"a,,1", "line 4, column text: is empty"),
        (b'a," \n\t",1', "line 4, column text: is empty"),
        (b",x,1", "line 4, column id: is empty"),
        (b"a,x\xff\xfey,1", 'line 4, column text: "x\\xff\\xfey" is not UTF-8'),
        (b"a,x\xe4,\xe4", 'line 4, column text: "x\\xe4" is not UTF-8'),
        (b"a,x", 'line 4: has 2 cells where the header has 3, beginning with "a"'),
        (b"a,x,1,extra", 'line 4: has 4 cells where the header has 3, beginning with "a"'),
        (b"ok,again,1", 'line 4, column id: "ok" duplicates line 2 of'),
        (b'a,"x"y,1', "line 4: is not well quoted"),
        (b'a,"never closed,1\n', "line 4: a quoted cell is never closed"),
        (b"a," + b"x" * (16 * 2**20 + 1) + b",1", "line 4: a cell is longer than 16,777,216 characters"),
    ],
)
def test_names_line_column_and_value(problems, row, problem):
    # The record before spans lines 2 and 3.
    message = problems(b'id,text,bad\nok,"two\nlines",0\n' + row + b"\nb,fine,1\n")
    assert message.startswith("the data do not fit the schema, ")
    assert f"\n  {problem}" in message


@pytest.mark.parametrize("cells", [b"x," * 2**15, b'"\n",' * 2**14], ids=["one line", "lines in quotes"])
@pytest.mark.parametrize("before", [b"id,text,bad\n" + b"a,x,1\n" * 2**12, b""], ids=["a row", "the header"])
def test_a_row_that_would_fill_the_memory_is_refused(problems, monkeypatch, before, cells):
    """Each of its cells is short. Rows before it, however many, do not count."""
    monkeypatch.setattr("mlops_cli.data.tables.row_limit.LONGEST_ROW", 16_384)
    monkeypatch.setattr("mlops_cli.data.tables.csv_reader.CHUNK", 4_096)
    assert problems(before + cells + b"\n") == "has a row of more than 16,384 bytes"


def test_a_nul_character_is_refused(problems):
    assert "line 3" in (message := problems(b"id,text,bad\na,x,0\nb,x\0y,0\n"))
    assert "NUL" in message


def test_another_encoding_is_one_problem_of_a_file_and_shows_its_place(problems):
    rows = [b"%d,a long beginning that fills forty characters and caf\xe9 au lait,0" % n for n in range(30)]
    message = problems(b"id,text,bad\n" + b"\n".join(rows))
    assert message.startswith("the data do not fit the schema, 1 problem:")
    assert 'column text: "…y characters and caf\\xe9 au lait" is not UTF-8' in message
    assert "30 cells of are not UTF-8" in message


def test_a_header_in_another_encoding_is_named_with_the_command_that_converts_it(request_for, tmp_path):
    source = tmp_path / "given.csv"
    source.write_bytes("id,price (€)\na,1\n".encode("cp1252"))
    with pytest.raises(MlopsError) as caught:
        download(request_for(source, schema=Schema({"id": "id", "price (€)": "number"})), tmp_path / "data", no_report)
    missing = 'line 1: the column price (€) is missing; it has "id", "price (\\x80)"; this line is not UTF-8'
    assert caught.value.message.endswith(missing)
    assert "iconv -f WINDOWS-1252" in caught.value.hint


def test_counts_the_lines_of_every_kind_of_line_end(problems):
    text = b'a,"1\r\n2\r\n3",0\r\nb,"1\r2",0\r\n\r\nc,x,7\r\n'
    assert "\n  line 8, column bad" in problems(b"id,text,bad\r\n" + text)


def test_names_ten_and_counts_the_others(problems):
    rows = [b"%d,x,%d" % (n, 7 if n % 100 == 0 else 0) for n in range(2500)]
    message = problems(b"id,text,bad\n" + b"\n".join(rows))
    assert message.startswith('the data do not fit the schema, 25 problems:\n  line 2, column bad: "7"')
    assert message.count(" line ") == 10
    assert message.endswith("\n  and 15 more")


def test_the_columns_of_the_others_are_counted(problems):
    rows = [b"%d,%s,7" % (n, b"" if n >= 20 else b"x") for n in range(25)]
    message = problems(b"id,text,bad\n" + b"\n".join(rows))
    assert "column text" not in message
    assert message.endswith("\n  and 20 more; by column: bad 25, text 5")


def test_finds_an_id_that_comes_again_much_later(problems):
    rows = [b"%d,x,0" % n for n in range(5000)]
    message = problems(b"id,text,bad\n" + b"\n".join([*rows, b"17,y,1", b"17,z,1"]))
    assert '  line 5002, column id: "17" duplicates line 19 of' in message
    assert "  line 5003, column id" in message


def test_an_id_must_be_unique_across_files(request_for, small, tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(b"id,text,bad\nsame,x,0\n")
    with pytest.raises(MlopsError, match=r'b\.csv line 2, column id: "same" duplicates line 2 of .*a\.csv'):
        download(request_for(tmp_path / "a.csv", tmp_path / "b.csv", schema=small), tmp_path / "data", no_report)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"id,text", 'the column bad is missing; it has "id", "text"'),
        (b"x,y", 'the columns id, text, bad are missing; it has "x", "y"'),
        (b"id,text,bad,bad", 'the column "bad" occurs twice'),
        (b"", "is empty"),
        (b"\n\r\n  \n", "is empty"),
        (b"\n\nx,y", 'line 3: the columns id, text, bad are missing; it has "x", "y"'),
        (b'\n"one\ntwo",y', "line 2: the columns id, text, bad are missing"),
        (b"\n\r\n<!doctype html>\n<html>", "is a web page"),
    ],
)
def test_a_wrong_header_is_explained(problems, header, problem):
    assert problem in problems(header + b"\n")


@pytest.mark.parametrize(
    ("content", "described"),
    [
        ("id,text,bad\na,x,0\n".encode("utf-16"), "is UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (b"PAR1\x15\x04\n", "is a Parquet file"),
        (b"BZh91AY&SY\n", "is packed with bzip2"),
        (b"\xfd7zXZ\x00\n", "is packed with xz"),
        (b"id;text;bad\na;x;0\n", "has semicolons between the cells"),
        (b"id\ttext\tbad\na\tx\t0\n", "has tabs between the cells"),
        (b"sep=;\nid;text;bad\n", "begins with Excel's sep= line"),
        ("id,text,bad\na,x,0\n".encode("utf-32"), "is UTF-32"),
        ("id,text,bad\na,x,0\n".encode("utf-16-le"), "is UTF-16"),
        ("id,text,bad\na,x,0\n".encode("utf-16-be"), "is UTF-16"),
        (b"id|text|bad\na|x|0\n", "has vertical bars between the cells"),
        (b"/annex/objects/SHA256E-s10--ab.csv\n", "is a git-annex pointer"),
        (b"outs:\n- md5: ab\n", "is a DVC pointer"),
        (b"ARROW1\0\0\n", "is an Arrow or Feather file"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x93NUMPY\x01\0\n", "is a NumPy array"),
        (b"\x80\x04\x95\n", "is a Python pickle"),
        (b"x\x9cMV[\n", "is packed with zlib"),
        (b'{"error": "not found"}', "is JSON"),
        (b'{"id": "a", "text": "x"}\n{"id": "b"}\n', "is JSON"),
        (b'[{"id": "a"}]\n', "is JSON"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is XML"),
        (b"<head><title>Sign in</title></head>\n", "is a web page"),
        (b"Rar!\x1a\x07\x00xx\n", "is a RAR archive"),
        (b"\x7fELF\x02\x01\n", "is a program"),
        (b"@RELATION iris\n@attribute a\n", "is an ARFF file"),
        (b"-----BEGIN PGP MESSAGE-----\n\nx\n", "is an encrypted or signed text"),
        (bytes(100), "is a binary file"),
        (b"\x01\x02\x00\x03,\x00\n", "is a binary file"),
    ],
)
def test_the_format_of_a_file_that_is_no_csv_is_named(problems, content, described):
    assert described in problems(content)


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (b"ID,Text,bad", "write the names in the file exactly so"),
        (b"id , text,bad", "write the names in the file exactly so"),
        (b"\xef\xbb\xbf\xef\xbb\xbfid,text,bad", "write the names in the file exactly so"),
        (b"1,7,0.5", "put a line with the columns' names before it"),
        (b"x,y,z", "give a file with these columns"),
        (b"Customers of 2024\nid,text,bad", "remove the lines above line 2"),
        (b"# exported\n# by us\n'ID',Text,bad", "remove the lines above line 3"),
        (b"a,b\n\nid,text", "give a file with these columns"),
    ],
)
def test_a_header_that_nearly_fits_is_recognized(request_for, small, tmp_path, header, hint):
    (tmp_path / "a.csv").write_bytes(header + b"\na,x,0\n")
    with pytest.raises(MlopsError) as caught:
        download(request_for(tmp_path / "a.csv", schema=small), tmp_path / "data", no_report)
    assert hint in caught.value.hint


def test_a_header_alone_is_no_dataset(problems):
    assert "no rows" in problems(b"id,text,bad\n")


def test_binary_data_is_no_dataset(problems):
    assert "line 1" in problems(bytes(range(128, 256)) * 10)


def test_columns_may_have_any_order_and_others_are_left_out(request_for, small, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"more,bad,text,id\nx,1,hello,a\n")
    dataset, _ = download(request_for(tmp_path / "a.csv", schema=small), tmp_path / "data", no_report)
    assert dataset.path.read_bytes() == b'id,text,bad\n"a","hello",1\n'
    assert dataset.ignored_columns == ["more"]
    assert dataset.label_rates == {"bad": 1.0}


@pytest.mark.parametrize("column", ["text", "ignored columns"])
def test_a_cell_may_be_as_long_as_a_book(accepted, column):
    long = "word, " * 400_000
    cells = {"text": "short", "ignored columns": "short"} | {column: long}
    rows = accepted(f'id,text,bad,more\na,"{cells["text"]}",0,"{cells["ignored columns"]}"\nb,x,1,y\n'.encode())
    assert rows[1:] == [["a", cells["text"], "0"], ["b", "x", "1"]]


def test_long_cells_are_taken_a_few_at_a_time(accepted, monkeypatch):
    monkeypatch.setattr("mlops_cli.data.tables.csv_reader.BLOCK_CHARACTERS", 100)
    rows = [[f"r{n}", "x" * (n * 7 % 90 + 1), "0"] for n in range(40)]
    assert accepted(b"id,text,bad\n" + "\n".join(map(",".join, rows)).encode())[1:] == rows


def test_only_the_wanted_columns_must_be_unique(request_for, small, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,text,bad,,,more,more\na,x,0,,,1,2\n")
    dataset, _ = download(request_for(tmp_path / "a.csv", schema=small), tmp_path / "data", no_report)
    assert dataset.path.read_bytes() == b'id,text,bad\n"a","x",0\n'
    assert dataset.ignored_columns == ["(without a name)", "more"]


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b"\xef\xbb\xbf\n\n", b" \n"])
def test_empty_lines_before_the_header_are_skipped(accepted, empty):
    assert accepted(empty + b"id,text,bad\na,x,0\n")[1:] == [["a", "x", "0"]]


def test_an_empty_cell_in_a_table_of_one_column_stays_a_row(request_for, tmp_path):
    (tmp_path / "a.csv").write_bytes(b'note\nx\n""\ny\n')
    dataset, _ = download(request_for(tmp_path / "a.csv", schema=Schema({"note": "any"})), tmp_path / "data", no_report)
    assert (dataset.rows, dataset.path.read_text()) == (3, 'note\nx\n""\ny\n')


def test_accepts_a_byte_order_mark_blank_lines_and_no_last_line_end(accepted):
    assert accepted(b"\xef\xbb\xbfid,text,bad\r\na,x,0\r\n\r\nb,\xc3\xa4,1") == [
        ["id", "text", "bad"],
        ["a", "x", "0"],
        ["b", "ä", "1"],
    ]


def test_keeps_every_character(accepted):
    text = 'a "quote", a comma,\r\na line\nand\ra return\t\x01 \u2028 😀 '
    quoted = text.replace('"', '""')
    assert accepted(f'id,text,bad\nx,"{quoted}",0\n'.encode())[1] == ["x", text, "0"]


def test_a_schema_of_one_column_and_numbers(accepted, problems):
    assert accepted(b"value\n1\n-2.5e3\n", Schema({"value": "number"})) == [["value"], ["1"], ["-2.5e3"]]


def test_numbers_are_written_bare_so_that_a_reader_takes_them_for_numbers(request_for, tmp_path):
    (tmp_path / "a.csv").write_bytes(b'size,note\n" 1.5 ","a, b"\n2e3,\n')
    dataset, _ = download(
        request_for(tmp_path / "a.csv", schema=Schema({"size": "number", "note": "any"})), tmp_path, no_report
    )
    assert dataset.path.read_text() == 'size,note\n1.5,"a, b"\n2e3,\n'


@pytest.mark.parametrize("cell", ["1_000", "\u0663", "", "inf", "1,5", "0x10"])
def test_a_number_that_not_every_language_parses_is_refused(request_for, tmp_path, cell):
    (tmp_path / "a.csv").write_text(f'value,other\n"{cell}",1\n')
    with pytest.raises(MlopsError, match="is not a number"):
        download(request_for(tmp_path / "a.csv", schema=Schema({"value": "number"})), tmp_path, no_report)


@pytest.mark.parametrize("cell", ["", "  ", "anything", "3", 'a ""quoted"" one', "two\nlines"])
def test_an_unchecked_column_keeps_its_values(accepted, cell):
    rows = accepted(f'n,free\n1,"{cell}"\n'.encode(), Schema({"n": "number", "free": "any"}))
    assert rows == [["n", "free"], ["1", cell.replace('""', '"')]]


def test_a_number_that_is_none(request_for, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"value\n1\nnan\n")
    with pytest.raises(MlopsError, match='line 3, column value: "nan" is not a number'):
        download(request_for(tmp_path / "a.csv", schema=Schema({"value": "number"})), tmp_path, no_report)


def test_a_schema_with_an_unknown_kind_of_column():
    with pytest.raises(ConfigurationError, match="x = 'float'"):
        Schema({"x": "float"})


def test_values_are_shown_on_one_short_line():
    assert shown("a\n\x1b[31m\udcff" + "b" * 100) == '"a\\n\\x1b[31m\\xff' + "b" * 32 + '…"'


@pytest.mark.skipif(not JIGSAW.exists(), reason="the real comments are not in this checkout")
def test_the_real_file_passes_unchanged(request_for, tmp_path):
    dataset, _ = download(request_for(JIGSAW / "train.csv.gz"), tmp_path, no_report)
    assert dataset.rows == 20_000
    assert round(dataset.label_rates["threat"], 3) == 0.003
    with (
        gzip.open(JIGSAW / "train.csv.gz", "rt", encoding="utf-8", newline="") as real,
        dataset.path.open(encoding="utf-8", newline="") as ours,
    ):
        assert list(csv.reader(real)) == list(csv.reader(ours))


def test_an_unreadable_file_is_named(request_for, small, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    source = tmp_path / "a.csv"
    source.write_bytes(b"id,text,bad\na,x,0\n")
    source.chmod(0)
    with pytest.raises(MlopsError, match=r"a\.csv may not be read"):
        download(request_for(source, schema=small), tmp_path / "data", no_report)


@pytest.mark.parametrize("cell", ["Yes", "true", "1.0", "-1"])
def test_the_error_about_words_as_labels_names_the_setting(request_for, small, tmp_path, cell):
    (tmp_path / "x.csv").write_text(f"id,text,bad\na,x,{cell}\nb,y,0\n")
    with pytest.raises(MlopsError) as caught:
        download(request_for(tmp_path / "x.csv", schema=small), tmp_path / "data", no_report)
    assert 'make the column "any" in [data.columns] and convert it in preprocess.py' in caught.value.hint
