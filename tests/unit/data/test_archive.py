from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from mlops_cli.data import archive
from mlops_cli.data.dataset import acquire
from mlops_cli.data.manifest import load
from mlops_cli.errors import MlopsError
from mlops_cli.progress import silent
from tests.unit.data.conftest import files_in


def refusal(request_for, tmp_path, content: bytes, **settings) -> str:
    source = tmp_path / "given.zip"
    source.write_bytes(content)
    with pytest.raises(MlopsError) as caught:
        acquire(request_for(source, **settings), tmp_path / "data", silent)
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
    assert acquire(request_for(tmp_path / "given.zip"), tmp_path / "data", silent)[0].rows == 50
    assert not (tmp_path / "data" / "partial").exists()


def test_takes_the_only_csv_whatever_its_name(request_for, tmp_path, csv_bytes, zipped):
    (tmp_path / "given.zip").write_bytes(zipped({"comments.csv": csv_bytes()}))
    assert acquire(request_for(tmp_path / "given.zip"), tmp_path / "data", silent)[0].rows == 50


def test_of_several_takes_the_wanted_one(request_for, tmp_path, csv_bytes, zipped):
    members = {"test.csv": b"id\n1\n", "train.csv": csv_bytes(), "train.csv.bak": b"x"}
    (tmp_path / "given.zip").write_bytes(zipped(members))
    assert acquire(request_for(tmp_path / "given.zip"), tmp_path / "data", silent)[0].rows == 50


def test_of_several_takes_the_wanted_packed_one(request_for, tmp_path, csv_bytes, zipped):
    members = {"test.csv.gz": gzip.compress(b"id\n1\n"), "train.csv.gz": gzip.compress(csv_bytes())}
    (tmp_path / "given.zip").write_bytes(zipped(members))
    assert acquire(request_for(tmp_path / "given.zip"), tmp_path / "data", silent)[0].rows == 50


def test_several_and_none_is_wanted(request_for, tmp_path, csv_bytes, zipped):
    message = refusal(request_for, tmp_path, zipped({"a.csv": csv_bytes(), "b.csv": csv_bytes()}))
    assert "several CSVs: a.csv, b.csv" in message


def test_no_csv_at_all(request_for, tmp_path, zipped):
    assert "holds no train.csv: it has readme.txt" in refusal(request_for, tmp_path, zipped({"readme.txt": b"x"}))


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
    monkeypatch.setattr(archive, "_RATIO_MATTERS_FROM", 1 << 20)
    content = zipped({"train.csv": b"\n" * (8 << 20)})
    assert "unpacks to more than 200 times its size" in refusal(request_for, tmp_path, content)


def test_refuses_a_gzip_bomb_while_it_unpacks(request_for, tmp_path, csv_bytes, monkeypatch):
    monkeypatch.setattr(archive, "_RATIO_MATTERS_FROM", 1 << 18)
    content = gzip.compress(csv_bytes() + b'x,"' + b"a" * 1000 + b'",0,0,0,0,0,0\n' * (1 << 18))
    assert "unpacks to more than 200 times its size" in refusal(request_for, tmp_path, content)


@pytest.mark.parametrize("cut", [10, 200, -30])
def test_names_damage(request_for, tmp_path, csv_bytes, zipped, cut):
    assert "damaged or cut short" in refusal(request_for, tmp_path, zipped({"train.csv": csv_bytes(500)})[:cut])


def test_names_a_cut_gzip(request_for, tmp_path, csv_bytes):
    assert "damaged or cut short" in refusal(request_for, tmp_path, gzip.compress(csv_bytes(500))[:-30])


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
