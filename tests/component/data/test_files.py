"""A dataset without a schema: files of any format, from a folder, an archive, a server or a script."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.compression import archives
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import load, read_dataset_info
from mlops_cli.data.sources.catalog import state_of
from mlops_cli.data.sources.source import State
from mlops_cli.data.tables.schema import Schema, TableFiles
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_folder
from tests.component.data.conftest import stopped_at, zip_bytes

CONTENTS = {
    "cats/1.png": b"\x89PNG cat",
    "dogs/2.png": b"\x89PNG dog",
    "labels.parquet": b"PAR1 table",
    "é.jsonl": b"{}",
}


def tar_bytes(members: dict[str, bytes], mode: str = "w", *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info, io.BytesIO(b"\0" * info.size))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_folder(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "source", CONTENTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project" / "data"


@pytest.fixture
def get(request_for: Callable, folder: Path) -> Callable:
    def get_(*sources: object, **settings: object):
        return download(request_for(*sources, schema=None, **settings), folder, no_report)

    return get_


CLUTTER = {".DS_Store": b"x", "__MACOSX/cats/1.png": b"x", "cats/.hidden": b"x", "Thumbs.db": b"x"}
PACKINGS = {
    "a.zip": zip_bytes,
    "a.tar": tar_bytes,
    "a.tar.gz": lambda members: tar_bytes(members, "w:gz"),
    "a.TGZ": lambda members: tar_bytes(members, "w:gz"),
    "a.tar.bz2": lambda members: tar_bytes(members, "w:bz2"),
    "a.tar.xz": lambda members: tar_bytes(members, "w:xz"),
}


@pytest.mark.parametrize("name", ["folder", *PACKINGS])
def test_every_archive_format_gives_the_same_files(get, tmp_path: Path, folder: Path, name: str) -> None:
    contents = {**CONTENTS, **CLUTTER}
    path = tmp_path / name
    if name == "folder":
        make_folder(path, contents)
    else:
        path.write_bytes(PACKINGS[name]({**{f"./{key}": value for key, value in contents.items()}}))
    dataset, changed = get(path)
    assert written(dataset.path) == CONTENTS
    assert (changed, dataset.files, dataset.rows, dataset.amount) == (True, 4, 0, "4 files")
    assert dataset.bytes == sum(map(len, CONTENTS.values()))
    assert dataset.sha256 == digest_folder(make_folder(tmp_path / "same", CONTENTS))
    assert dataset.folder == dataset.path == folder / "files"
    assert load(folder) == dataset
    assert get(path) == (dataset, False)
    assert sorted(child.name for child in folder.iterdir()) == ["dataset.json", "files"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (member("../out.txt"), "is a path out of the archive"),
        (member("a/../../out.txt"), "is a path out of the archive"),
        (member("/tmp/out.txt"), "is a path out of the archive"),
        (member("C:/out.txt"), "is a path out of the archive"),
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (member("link", tarfile.LNKTYPE, "cats/1.png"), "is a link"),
        (member("null", tarfile.CHRTYPE), "is a device"),
        (member("disk", tarfile.BLKTYPE), "is a device"),
        (member("pipe", tarfile.FIFOTYPE), "is a device"),
        (member("cats/1.png", size=3), "occurs twice"),
        (member("cats/1.png/below", size=3), "is below a file of the same name"),
        (member("a\nb", size=3), "is not a valid file name on every system"),
        (member("a\\b", size=3), "is not a valid file name on every system"),
        (member("zeros", size=80 << 20), "unpacks to more than 200 times its size"),
    ],
)
def test_a_dangerous_archive_is_refused(get, source, tmp_path: Path, folder: Path, more, words: str) -> None:
    before, _ = get(source)
    (tmp_path / "a.tar.gz").write_bytes(tar_bytes({"cats/1.png": b"cat"}, "w:gz", more))
    outside = set(tmp_path.iterdir())
    with pytest.raises(MlopsError, match=words):
        get(tmp_path / "a.tar.gz")
    assert set(tmp_path.iterdir()) == outside
    assert load(folder) == before
    assert written(folder / "files") == CONTENTS
    assert not [path for path in folder.rglob("*") if path.name == "files" and path.parent != folder]


def test_a_header_that_fills_the_memory_is_refused(get, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, "w", member("x", tarfile.XHDTYPE, size=4 << 20)))
    with pytest.raises(MlopsError, match="damaged or no archive: a header of 4,194,304 bytes"):
        get(tmp_path / "a.tar")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_an_archive_that_is_cut_short_is_an_error_and_never_a_part(get, tmp_path: Path, folder: Path, name) -> None:
    whole = PACKINGS[name]({f"{number}.bin": os.urandom(3000) for number in range(5)})
    between_members = 512 + 3072
    content = len(whole) if name != "a.tar" else 5 * between_members
    for length in (0, 1, 7, content // 3, between_members, content - 30, content - 1):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(MlopsError):
            get(tmp_path / name)
    assert load(folder) is None


@pytest.mark.parametrize("make", ["link", "pipe"])
def test_an_entry_of_a_folder_that_is_no_plain_file_is_named(get, source: Path, make: str) -> None:
    (source / "odd").symlink_to("/etc") if make == "link" else os.mkfifo(source / "odd")
    with pytest.raises(MlopsError, match="odd is a link" if make == "link" else "odd is neither"):
        get(source)


def test_an_empty_folder_and_a_single_file(get, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MlopsError, match="has no files"):
        get(tmp_path / "empty")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    assert written(get(tmp_path / "t.parquet")[0].path) == {"t.parquet": b"PAR1"}


def test_several_sources_lie_side_by_side(get, source: Path, tmp_path: Path) -> None:
    more = make_folder(tmp_path / "more", {"calendar.csv": b"day\n1\n"})
    assert written(get(source, more)[0].path) == {**CONTENTS, "calendar.csv": b"day\n1\n"}
    repeated = make_folder(tmp_path / "again", {"cats/1.png": b"another"})
    with pytest.raises(MlopsError, match=r"cats/1\.png occurs twice"):
        get(source, repeated)


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename"])
def test_a_change_of_any_file_is_found(get, source: Path, folder: Path, change: str) -> None:
    before, _ = get(source)
    path = folder / "files" / "cats" / "1.png"
    if change == "edit":
        path.write_bytes(b"\x89PNG cow")
    elif change == "add":
        (folder / "files" / "more.txt").write_text("x")
    elif change == "remove":
        path.unlink()
    else:
        path.rename(path.with_name("3.png"))
    with pytest.raises(MlopsError, match="was changed since it was downloaded"):
        load(folder)
    second, _ = get(source)
    assert (second.sha256, load(folder)) == (before.sha256, second)


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_a_change_of_the_source_brings_new_files(get, source: Path, change: str) -> None:
    get(source)
    if change == "edit":
        (source / "labels.parquet").write_bytes(b"PAR1 other")
    elif change == "add":
        (source / "dogs" / "3.png").write_bytes(b"new")
    else:
        (source / "labels.parquet").unlink()
    dataset, changed = get(source)
    assert changed
    assert written(dataset.path) == written(source)


def test_a_changed_archive_on_the_server_is_downloaded_again(get, file_server, tmp_path: Path) -> None:
    file_server.content = zip_bytes(CONTENTS)
    url = f"{file_server.url}/images.zip"
    assert written(get(url)[0].path) == CONTENTS
    assert get(url, refresh=True)[1] is False
    file_server.content, file_server.etag = zip_bytes({"new.png": b"new"}), '"two"'
    assert get(url)[1] is False
    dataset, changed = get(url, refresh=True)
    assert (changed, written(dataset.path)) == (True, {"new.png": b"new"})
    assert get(f"{file_server.url}/table.parquet")[0].path.joinpath("table.parquet").is_file()


@pytest.mark.parametrize(
    ("source", "shown"), [("kaggle", "toxic"), ("kaggle:digits", "digits"), ("kaggle:owner/photos", "owner/photos")]
)
def test_all_files_of_a_kaggle_competition_or_dataset(kaggle, get, folder: Path, source: str, shown: str) -> None:
    kaggle.archive = zip_bytes(CONTENTS)
    dataset, _ = get(source)
    assert (written(dataset.path), dataset.source) == (CONTENTS, f"kaggle {shown}")
    assert get(source, refresh=True)[1] is False
    assert len(kaggle.listings) == 2
    origin = (read_dataset_info(folder) or {})["origins"][0]
    assert state_of(origin, [], 2) is State.SAME
    kaggle.created = "2026-02-02T00:00:00Z"
    assert state_of(origin, [], 2) is State.CHANGED


@pytest.mark.parametrize(("status", "words"), [(404, "has no dataset owner/photos for you"), (500, "HTTP 500")])
def test_a_dataset_that_kaggle_refuses(kaggle, get, status: int, words: str) -> None:
    kaggle.status = status
    with pytest.raises(MlopsError, match=words):
        get("kaggle:owner/photos")
    with pytest.raises(MlopsError, match="is neither a competition nor a dataset"):
        get("kaggle:a/b/c")


@pytest.mark.parametrize("step", range(1, 6))
def test_being_stopped_between_any_two_steps_of_the_commit(
    get, source: Path, tmp_path: Path, folder: Path, step: int
) -> None:
    """Files replace a table, and a table replaces files."""
    get(source)
    other_folder = make_folder(tmp_path / "other", {"a.txt": b"a"})
    try:
        with stopped_at(step, folder):
            get(other_folder)
    except KeyboardInterrupt:
        assert load(folder) is None or written(folder / "files") in (CONTENTS, {"a.txt": b"a"})
    assert written(get(other_folder)[0].path) == {"a.txt": b"a"}
    assert load(folder).files == 1


def test_a_table_takes_the_place_of_files(get, request_for, source: Path, tmp_path: Path, folder: Path, csv_bytes):
    get(source)
    (tmp_path / "a.csv").write_bytes(csv_bytes(5))
    assert download(request_for(tmp_path / "a.csv"), folder, no_report)[0].rows == 5
    assert sorted(child.name for child in folder.iterdir()) == ["dataset.csv", "dataset.json"]
    assert get(source)[0].files == 4
    assert sorted(child.name for child in folder.iterdir()) == ["dataset.json", "files"]


def test_the_names_of_archives() -> None:
    names = {"a.zip", "a.tar", "a.tar.gz", "A.TGZ", "a.tar.xz", "a.csv.gz", "a.parquet", "a.xlsx", "zip"}
    assert {name for name in names if archives.is_archive(name)} == {"a.zip", "a.tar", "a.tar.gz", "A.TGZ", "a.tar.xz"}


SALES = TableFiles("sales/*.csv", Schema({"day": "date", "amount": "number"}, "[data.tables.sales.columns]"))
STORES = TableFiles("stores.jsonl", Schema({"store": "id", "city": "text?"}, "[data.tables.stores.columns]"))
SHOP = {
    "sales/1.csv": b"day,amount,note\n2026-01-01,3,x\n",
    "sales/2.csv": b"amount,day\n4,2026-01-02\n5,2026-01-03\n",
    "stores.jsonl": b'{"store": "a", "city": "Bern"}\n{"store": "b"}\n',
    "photo.png": b"\x89PNG",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "shop", SHOP)


def test_tables_among_the_files_have_a_schema_each(get: Callable, shop: Path, folder: Path) -> None:
    dataset, _ = get(shop, tables={"sales": SALES, "stores": STORES})
    assert written(folder / "files") == SHOP, "they stay as they are"
    assert dataset.remarks == [
        "table sales: 2 files, 3 rows; without a schema: note",
        "table stores: stores.jsonl, 2 rows",
    ]
    (shop / "sales" / "2.csv").write_bytes(b"amount,day\nmany,2026-01-02\n5,soon\n")
    with pytest.raises(MlopsError) as caught:
        get(shop, tables={"sales": SALES, "stores": STORES})
    assert caught.value.message.splitlines()[1:] == [
        '  sales/2.csv line 2, column amount: "many" is not a number',
        '  sales/2.csv line 3, column day: "soon" is not a date such as 2026-11-29',
    ]
    assert "change [data.tables.sales.columns] in usecase.toml" in caught.value.hint
    assert written(folder / "files") == SHOP, "the earlier data stay"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("stores.jsonl", b'{"store": "a"}\n{"store": "a"}\n', '"a" duplicates line 1 of stores.jsonl'),
        ("sales/1.csv", b"day,amuont\n2026-01-01,3\n", "sales/1.csv line 1: the column amount is missing"),
        ("sales/1.csv", b"day,amount\n", "sales/1.csv has a header but no rows"),
        ("sales/1.csv", b"day,amount\n2026-01-01,3,4\n", "sales/1.csv line 2: has 3 cells where the header has 2"),
        ("sales/1.csv", b"\x89PNG\r\n\x1a\n", "sales/1.csv"),
    ],
)
def test_a_table_that_does_not_fit_its_schema(
    get: Callable, shop: Path, folder: Path, name: str, content: bytes, message: str
) -> None:
    (shop / name).write_bytes(content)
    with pytest.raises(MlopsError) as caught:
        get(shop, tables={"sales": SALES, "stores": STORES})
    assert message in caught.value.message
    assert not (folder / "files").exists()


def test_a_table_without_a_file_and_another_schema(get: Callable, shop: Path) -> None:
    with pytest.raises(MlopsError) as caught:
        get(shop, tables={"prices": TableFiles("prices.csv", SALES.schema)})
    assert "the data have no file prices.csv for the table prices; they have photo.png, sales/1.csv" in str(
        caught.value
    )
    assert get(shop, tables={"stores": STORES})[1] is True
    assert get(shop, tables={"stores": STORES})[1] is False
    with pytest.raises(MlopsError, match='"a" is not one of'):
        get(shop, tables={"stores": TableFiles("stores.jsonl", Schema({"store": '["b", "c"]'}))})
