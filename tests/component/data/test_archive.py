from __future__ import annotations

import csv
import gzip
import io
import random
import zipfile

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.compression import compressed
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import load
from mlops_cli.data.tables.csv_sources import tables
from mlops_cli.data.writer import Writer
from mlops_cli.errors import MlopsError
from tests.component.data.conftest import files_in


def refusal(request_for, tmp_path, content: bytes, **settings) -> str:
    source = tmp_path / "given.zip"
    source.write_bytes(content)
    with pytest.raises(MlopsError) as caught:
        download(request_for(source, **settings), tmp_path / "data", no_report)
    assert load(tmp_path / "data") is None
    assert files_in(tmp_path / "data") == []
    assert {path.name for path in tmp_path.iterdir()} <= {"given.zip", "data"}
    return caught.value.message


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_finds_the_csv_in_archives_in_archives(request_for, tmp_path, csv_bytes, zipped, depth):
    content = zipped({"folder/train.csv": csv_bytes(), "__MACOSX/._train.csv": b"x", "readme.txt": b"x"})
    for level in range(depth):
        content = zipped({f"train{level}.zip": content})
    (tmp_path / "given.zip").write_bytes(content)
    assert download(request_for(tmp_path / "given.zip"), tmp_path / "data", no_report)[0].rows == 50
    assert not (tmp_path / "data" / "partial").exists()


def test_takes_the_only_csv_with_any_name(request_for, tmp_path, csv_bytes, zipped):
    (tmp_path / "given.zip").write_bytes(zipped({"comments.csv": csv_bytes()}))
    assert download(request_for(tmp_path / "given.zip"), tmp_path / "data", no_report)[0].rows == 50


def test_of_several_takes_the_wanted_one(request_for, tmp_path, csv_bytes, zipped):
    members = {"test.csv": b"id\n1\n", "train.csv": csv_bytes(), "train.csv.bak": b"x"}
    (tmp_path / "given.zip").write_bytes(zipped(members))
    assert download(request_for(tmp_path / "given.zip"), tmp_path / "data", no_report)[0].rows == 50


def test_ignored_files_beside_the_table_are_named(request_for, tmp_path, csv_bytes, zipped):
    inner = zipped({"readme.txt": b"x", "train.csv": csv_bytes()})
    path = tmp_path / "data.zip"
    path.write_bytes(zipped({"train.csv.zip": inner, "more.data": b"1", "b/more.parquet": b"2"}))
    dataset, _ = download(request_for(path), tmp_path / "data", no_report)
    first, second = dataset.remarks
    assert first == f"not read: more.data, b/more.parquet in {path}"
    assert second == f"not read: readme.txt in {path}/train.csv.zip"


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("a.csv", "a.csv")])
def test_archives_one_after_the_other_are_not_taken_for_the_last(request_for, tmp_path, csv_bytes, zipped, names):
    content = b"".join(zipped({name: csv_bytes()}) for name in names)
    assert "several archives in one file" in refusal(request_for, tmp_path, content)


def test_a_program_before_an_archive_is_no_loss(request_for, tmp_path, csv_bytes, zipped):
    path = tmp_path / "self.zip"
    path.write_bytes(b"MZ program" * 9 + zipped({"a.csv": csv_bytes()}))
    assert download(request_for(path), tmp_path / "data", no_report)[0].rows == 50


def test_of_several_takes_the_wanted_packed_one(request_for, tmp_path, csv_bytes, zipped):
    members = {"test.csv.gz": gzip.compress(b"id\n1\n"), "train.csv.gz": gzip.compress(csv_bytes())}
    (tmp_path / "given.zip").write_bytes(zipped(members))
    assert download(request_for(tmp_path / "given.zip"), tmp_path / "data", no_report)[0].rows == 50


def test_a_workbook_is_no_table(request_for, tmp_path, zipped):
    members = {"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b"<x/>"}
    assert refusal(request_for, tmp_path, zipped(members)).endswith("is an Excel workbook")


def test_several_and_none_is_wanted(request_for, tmp_path, csv_bytes, zipped):
    message = refusal(request_for, tmp_path, zipped({"a.csv": csv_bytes(), "b.csv": csv_bytes()}))
    assert "several CSVs: a.csv, b.csv" in message


@pytest.mark.parametrize("file", ["train.csv", "", "other.csv"])
@pytest.mark.parametrize("names", [("a.csv.gz", "b.csv.gz"), ("a.csv.zip", "b.csv.zip"), ("2023.csv.gz", "more.zip")])
@pytest.mark.parametrize("depth", [0, 1])
def test_several_archives_and_none_is_wanted(request_for, tmp_path, csv_bytes, zipped, names, file, depth):
    def packed(name: str, content: bytes) -> bytes:
        return gzip.compress(content) if name.endswith(".gz") else zipped({"inside.csv": content})

    content = zipped({name: packed(name, csv_bytes(3, start=n * 100)) for n, name in enumerate(names)})
    if depth:
        content = zipped({"all.zip": content})
    message = refusal(request_for, tmp_path, content, file=file)
    assert f"contains several archives: {', '.join(names)}" in message


def test_a_csv_beside_an_archive_and_none_is_wanted(request_for, tmp_path, csv_bytes, zipped):
    content = zipped({"a.csv": csv_bytes(), "old/b.csv.gz": gzip.compress(csv_bytes())})
    assert "contains several tables: a.csv, old/b.csv.gz" in refusal(request_for, tmp_path, content)


@pytest.mark.parametrize("name", ["more.csv.bz2", "more.tar", "more.7z"])
def test_a_csv_beside_an_archive_that_is_not_read(request_for, tmp_path, csv_bytes, zipped, name):
    assert "contains several tables" in refusal(request_for, tmp_path, zipped({"a.csv": csv_bytes(), name: b"x"}))
    (tmp_path / "given.zip").unlink()
    assert "not read" in refusal(request_for, tmp_path, zipped({name: b"x"}))


@pytest.mark.parametrize("name", ["train.csv.gz", "train.gz", "data/train.csv.gz"])
def test_the_wanted_one_may_be_packed_under_a_shorter_name(request_for, tmp_path, csv_bytes, zipped, name):
    content = zipped({"test.csv": b"id\n1\n", name: gzip.compress(csv_bytes())})
    (tmp_path / "given.zip").write_bytes(content)
    assert download(request_for(tmp_path / "given.zip"), tmp_path / "data", no_report)[0].rows == 50


def test_the_wanted_one_may_be_named_with_its_folder(request_for, tmp_path, csv_bytes, zipped):
    content = zipped({"2023/train.csv": csv_bytes(3), "2024/train.csv": csv_bytes()})
    assert "several CSVs: 2023/train.csv, 2024/train.csv" in refusal(request_for, tmp_path, content)
    dataset, _ = download(request_for(tmp_path / "given.zip", file="2024/train.csv"), tmp_path / "data", no_report)
    assert dataset.rows == 50


@pytest.mark.parametrize("file", ["train.csv", "data/train.csv"])
def test_folders_in_archives_from_windows(request_for, tmp_path, csv_bytes, zipped, file):
    content = zipped({"data\\train.csv": csv_bytes(), "data\\test.csv": b"id\n1\n", "__MACOSX\\._x.csv": b"x"})
    (tmp_path / "given.zip").write_bytes(content)
    assert download(request_for(tmp_path / "given.zip", file=file), tmp_path / "data", no_report)[0].rows == 50


def test_no_csv_at_all(request_for, tmp_path, zipped):
    assert "contains no table (.csv, .parquet, .jsonl): it has readme.txt" in refusal(
        request_for, tmp_path, zipped({"readme.txt": b"x"})
    )


@pytest.mark.parametrize(
    "name", ["../train.csv", "a/../../train.csv", "/etc/train.csv", "..\\train.csv", "C:/train.csv"]
)
@pytest.mark.parametrize("nested", [False, True])
def test_refuses_paths_out_of_the_archive(request_for, tmp_path, csv_bytes, zipped, name, nested):
    content = zipped({"train.csv": csv_bytes(), name: csv_bytes()})
    if nested:
        content = zipped({"train.csv.zip": content})
    assert "a path out of the archive" in refusal(request_for, tmp_path, content)


def test_refuses_symbolic_links(request_for, tmp_path, csv_bytes):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as writer:
        writer.writestr("train.csv", csv_bytes())
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        writer.writestr(link, "/etc/passwd")
    assert "a symbolic link" in refusal(request_for, tmp_path, out.getvalue())


def test_refuses_a_zip_bomb(request_for, tmp_path, zipped, monkeypatch):
    monkeypatch.setattr(compressed, "_RATIO_MATTERS_FROM", 1 << 20)
    content = zipped({"train.csv": b"\n" * (8 << 20)})
    assert "unpacks to more than 200 times its size" in refusal(request_for, tmp_path, content)


def test_refuses_a_gzip_bomb_while_it_unpacks(request_for, tmp_path, csv_bytes, monkeypatch):
    monkeypatch.setattr(compressed, "_RATIO_MATTERS_FROM", 1 << 18)
    content = gzip.compress(csv_bytes() + b'x,"' + b"a" * 1000 + b'",0,0,0,0,0,0\n' * (1 << 18))
    assert "unpacks to more than 200 times its size" in refusal(request_for, tmp_path, content)


@pytest.mark.parametrize("cut", [10, 200, -30])
def test_names_damage(request_for, tmp_path, csv_bytes, zipped, cut):
    assert "damaged or cut short" in refusal(request_for, tmp_path, zipped({"train.csv": csv_bytes(500)})[:cut])


def test_names_a_cut_gzip(request_for, tmp_path, csv_bytes):
    assert "damaged or cut short" in refusal(request_for, tmp_path, gzip.compress(csv_bytes(500))[:-30])


@pytest.mark.parametrize("padding", [b"\r\n", b"\n", b"\0" * 512, b"\x1a"])
def test_padding_after_a_gzip_is_passed_over(request_for, tmp_path, csv_bytes, padding):
    source = tmp_path / "given.csv.gz"
    source.write_bytes(gzip.compress(csv_bytes(2000)) + padding + gzip.compress(b"") + padding)
    assert download(request_for(source), tmp_path / "data", no_report)[0].rows == 2000


def test_parts_of_a_gzip_follow_one_another(request_for, tmp_path, csv_bytes):
    content, source = csv_bytes(2000), tmp_path / "given.csv.gz"
    source.write_bytes(b"".join(gzip.compress(content[at : at + 999]) for at in range(0, len(content), 999)))
    assert download(request_for(source), tmp_path / "data", no_report)[0].rows == 2000


@pytest.mark.parametrize("trailing", [b"id,comment\n", b"\x1f", b"\x1f\x8bxxxxxxxxx"])
def test_something_else_after_a_gzip_is_damage(request_for, tmp_path, csv_bytes, trailing):
    assert "damaged" in refusal(request_for, tmp_path, gzip.compress(csv_bytes()) + trailing)


def test_a_changed_byte_is_damage(request_for, tmp_path, csv_bytes):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as writer:
        writer.writestr("train.csv", csv_bytes())
    assert "damaged" in refusal(request_for, tmp_path, out.getvalue().replace(b"number 7", b"number 8"))


def test_too_deep(request_for, tmp_path, csv_bytes, zipped):
    content = zipped({"train.csv": csv_bytes()})
    for level in range(5):
        content = zipped({f"{level}.zip": content})
    assert "more than 3 deep" in refusal(request_for, tmp_path, content)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_any_kind_is_named(schema, tmp_path, csv_bytes, method):
    """Damage each byte of an archive's own parts, and of the first part of its content."""
    source = tmp_path / "given.zip"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive_:
        archive_.writestr("train.csv", csv_bytes(3))
    whole = out.getvalue()
    for position in [*range(80), *range(len(whole) - 75, len(whole))]:
        source.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        writer = Writer(io.BytesIO(), schema)
        try:
            for table in tables(source, "given.zip", "", tmp_path):
                writer.add_table(table, no_report)
        except MlopsError as error:
            assert "given.zip" in error.message
        else:
            assert writer.checker.rows == 3


TABLE = b"id,text,bad\n" + b"".join(b"%d,text %d,%d\n" % (n, n, n % 2) for n in range(300))


def archive_of(kind: str) -> bytes:
    if kind == "gz":
        return gzip.compress(TABLE)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if kind == "nested" else int(kind)) as archive:
        if kind == "nested":
            archive.writestr("train.csv.zip", archive_of(str(zipfile.ZIP_DEFLATED)))
            archive.writestr("other.csv.gz", gzip.compress(TABLE))
        else:
            archive.writestr("train.csv", TABLE)
    return out.getvalue()


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the content with changed, missing or added bytes."""
    result = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 20])):
        position, how = chance.randrange(len(result)), chance.random()
        if how < 0.7:
            result[position] = chance.randrange(256)
        elif how < 0.85:
            del result[max(position, 1) :]
        else:
            result[position:position] = chance.randbytes(chance.randrange(1, 9))
    return bytes(result)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@pytest.mark.parametrize("kind", ["gz", "nested", *map(str, METHODS)])
def test_a_damaged_archive_is_refused_or_gives_the_whole_table(small, tmp_path, kind):
    """The places of the damage are random, with a fixed seed."""
    source, chance, whole = tmp_path / "given.zip", random.Random(kind), archive_of(kind)
    for number in range(100):
        source.write_bytes(damaged(whole, chance))
        out = io.BytesIO()
        writer = Writer(out, small)
        try:
            for table in tables(source, "given.zip", "train.csv", tmp_path / str(number)):
                writer.add_table(table, no_report)
            writer.finish()
        except MlopsError as error:
            assert "given.zip" in error.message and error.hint
        else:
            assert rows_in(out.getvalue()) == rows_in(TABLE)


def rows_in(table: bytes) -> list[list[str]]:
    return list(csv.reader(table.decode().splitlines()))
