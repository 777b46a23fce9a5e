"""Model packages are packed deterministically and unpacked safely."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.compression.archives import unpack
from mlops_cli.data.files import FileCollector
from mlops_cli.errors import MlopsError
from mlops_cli.files import model_archive, tar_archives
from mlops_cli.files.hashing import digest_file
from mlops_cli.frameworks import framework_named
from mlops_cli.frameworks.package_check import obstacle


def model(folder: Path) -> Path:
    (folder / "1" / "variables").mkdir(parents=True)
    (folder / "code" / "__pycache__").mkdir(parents=True)
    (folder / "1" / "saved_model.pb").write_bytes(b"\x08\x01" * 500)
    (folder / "1" / "variables" / "données.index").write_bytes(b"")
    (folder / "code" / "inference.py").write_text("x = 1\n")
    (folder / "code" / "__pycache__" / "inference.cpython-311.pyc").write_bytes(b"volatile")
    return folder


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    source, target = model(tmp_path / "model"), tmp_path / "out"
    digest = model_archive.pack(source, tmp_path / "model.tar.gz")
    assert digest == hashlib.sha256((tmp_path / "model.tar.gz").read_bytes()).hexdigest()
    assert digest == digest_file(tmp_path / "model.tar.gz")
    model_archive.unpack(tmp_path / "model.tar.gz", target)
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert files == ["1/saved_model.pb", "1/variables/données.index", "code/inference.py"]
    assert (target / "1" / "saved_model.pb").read_bytes() == b"\x08\x01" * 500


def test_equal_files_have_equal_contents_in_packages_of_any_packer(tmp_path: Path) -> None:
    """SageMaker packs the times of the files, and names like ./NAME."""
    source = model(tmp_path / "model")
    archives = [tmp_path / f"{number}.tar.gz" for number in range(3)]
    for number, archive in enumerate(archives):
        os.utime(source / "1" / "saved_model.pb", (number, number))
        (source / "code" / "inference.py").write_text("x = 1\n" if number < 2 else "x = 2\n")
        with tarfile.open(archive, "w:gz") as opened:
            opened.add(source, ".")
    assert digest_file(archives[0]) != digest_file(archives[1])
    assert model_archive.digest_contents(archives[0]) == model_archive.digest_contents(archives[1])
    assert model_archive.digest_contents(archives[1]) != model_archive.digest_contents(archives[2])


def test_equal_files_give_equal_bytes(tmp_path: Path) -> None:
    first = model(tmp_path / "first")
    second = tmp_path / "elsewhere" / "second"
    second.mkdir(parents=True)
    model(second)
    for path in second.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    left_archive, two = tmp_path / "one.tar.gz", tmp_path / "another-name.tar.gz"
    assert model_archive.pack(first, left_archive) == model_archive.pack(second, two)
    assert left_archive.read_bytes() == two.read_bytes()
    with tarfile.open(left_archive) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, 0, "", "")}
    (second / "code" / "inference.py").write_text("x = 2\n")
    assert model_archive.pack(first, left_archive) != model_archive.pack(second, two)


def test_a_failed_packing_leaves_nothing(tmp_path: Path) -> None:
    source = model(tmp_path / "model")
    (source / "code" / "link").symlink_to("/etc/passwd")
    with pytest.raises(MlopsError, match="link is neither a file nor a folder"):
        model_archive.pack(source, tmp_path / "model.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_copy_returns_the_digest_of_the_written_file(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(os.urandom(3_000_000))
    assert model_archive.copy_with_sha256(source, tmp_path / "b") == digest_file(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    tar_info = tarfile.TarInfo(name)
    tar_info.type, tar_info.linkname, tar_info.size = kind, link, size
    return tar_info


UNSAFE = {
    "absolute": [entry("/tmp/escaped")],
    "parent": [entry("1/../../escaped")],
    "symbolic link": [entry("1", tarfile.SYMTYPE, "/etc")],
    "hard link": [entry("passwd", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [entry("null", tarfile.CHRTYPE)],
    "pipe": [entry("pipe", tarfile.FIFOTYPE)],
    "through a link": [entry("code", tarfile.SYMTYPE, ".."), entry("code/escaped")],
}


@pytest.mark.parametrize("entries", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_archive_is_refused(tmp_path: Path, entries: list[tarfile.TarInfo]) -> None:
    path = tmp_path / "unsafe.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b""))
    with pytest.raises(MlopsError, match=r"outside of itself|a link or a device"):
        model_archive.unpack(path, tmp_path / "inner" / "out")
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"unsafe.tar.gz", "inner", "out"}


def pax(keywords: bytes) -> bytes:
    """Return a header with more attributes of the next entry."""
    header = entry("more", tarfile.XHDTYPE)
    header.size = len(keywords)
    return header.tobuf() + keywords.ljust(512, b"\0")


HARMFUL = {
    "a chain of headers": pax(b"7 a=bc\n") * 2000,
    "no number of a sparse file": pax(b"22 GNU.sparse.map=a,b\n") + pax(b"21 GNU.sparse.size=x\n"),
    "a length of 40 digits": pax(b"9" * 40 + b" a=b\n"),
    "a size below zero": entry("b.txt", size=-512).tobuf(tarfile.GNU_FORMAT),
    "a size below zero in a header about it": entry("b.txt", size=-512).tobuf(tarfile.PAX_FORMAT),
}


@pytest.mark.parametrize("headers", HARMFUL.values(), ids=HARMFUL)
def test_an_archive_with_harmful_headers_is_refused(
    tmp_path: Path, headers: bytes, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(functools.partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(1000)  # Python's own limit: a library of an earlier test may have raised it
    path = tmp_path / "harmful.tar.gz"
    path.write_bytes(gzip.compress(headers + entry("a.txt").tobuf() + bytes(1024)))
    with pytest.raises(MlopsError, match="is no readable archive"):
        model_archive.unpack(path, tmp_path / "model")
    with pytest.raises(MlopsError, match="is damaged or no archive"):
        unpack(path, path.name, FileCollector(tmp_path / "data", no_report))
    assert "is no readable archive" in obstacle(path, framework_named("sklearn"))
    with pytest.raises(MlopsError, match="is no readable archive"):
        model_archive.digest_contents(path)


IMPOSSIBLE = {
    "two of one name": [entry("a"), entry("a")],
    "a file that is a folder": [entry("a"), entry("a/b")],
    "a folder that is a file": [entry("a", tarfile.DIRTYPE), entry("a")],
    "the folder itself as a file": [entry(".")],
    "a name of 300 letters": [entry("a" * 300)],
}


@pytest.mark.parametrize("entries", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_archive_whose_entries_cannot_all_be_files_is_refused(
    tmp_path: Path, entries: list[tarfile.TarInfo]
) -> None:
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b""))
    with pytest.raises(MlopsError, match="cannot be a file beside the others: '"):
        model_archive.unpack(path, tmp_path / "out")


@pytest.mark.parametrize(("limit", "most"), [("MOST_BYTES", 999), ("MOST_ENTRIES", 2)])
def test_an_archive_that_grows_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    path = tmp_path / "model.tar.gz"
    model_archive.pack(model(tmp_path / "model"), path)
    monkeypatch.setattr(tar_archives, limit, most)
    with pytest.raises(MlopsError, match="too large"):
        model_archive.unpack(path, tmp_path / "out")
    with pytest.raises(MlopsError, match="too large"):
        model_archive.digest_contents(path)
    assert "too large" in obstacle(path, framework_named("tensorflow"))


def test_handlers_too_long_for_a_script_are_refused_unread(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    (folder / "code" / "inference.py").write_bytes(b"#" * (4 * 2**20 + 1))
    model_archive.pack(folder, tmp_path / "model.tar.gz")
    problem = obstacle(tmp_path / "model.tar.gz", framework_named("sklearn"))
    assert problem == "code/inference.py has more than 4,194,304 bytes"


@pytest.mark.parametrize("size", [0, 1, 100, -30])
def test_a_cut_off_archive_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.tar.gz"
    model_archive.pack(model(tmp_path / "model"), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MlopsError, match="is no readable archive"):
        model_archive.unpack(path, tmp_path / "out")
