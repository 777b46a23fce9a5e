from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import changed_columns, load
from mlops_cli.data.scripts import DataScript
from mlops_cli.errors import ConfigurationError, MlopsError
from tests.component.data.conftest import stopped_at
from tests.conftest import LIMIT_SECONDS

ROOT = Path(__file__).parents[3]
MADE = {"made": DataScript("make.py", {"rows": "3"})}


@pytest.fixture
def source(tmp_path, csv_bytes) -> Path:
    path = tmp_path / "train.csv"
    path.write_bytes(csv_bytes())
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "project" / "data"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_records_its_metadata(request_for, source, folder):
    dataset, new = download(request_for(source), folder, no_report)
    content = dataset.path.read_bytes()
    assert (new, dataset.rows, dataset.bytes) == (True, 50, len(content))
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()
    assert dataset.label_rates == {"toxic": 0.5} | dict.fromkeys(list(dataset.label_rates)[1:], 0.0)
    assert dataset.fetched_at.endswith("+00:00")
    assert load(folder) == dataset
    assert files(folder) == [folder / "dataset.csv", folder / "dataset.json"]


def test_other_columns_than_those_of_the_download_are_named(request_for, source, folder):
    assert changed_columns(folder, {"id": "id"}) == "", "there is no dataset yet"
    columns = dict(request_for(source).schema.columns)
    download(request_for(source), folder, no_report)
    assert changed_columns(folder, columns) == changed_columns(folder, dict(reversed(columns.items()))) == ""
    del columns["obscene"]
    assert changed_columns(folder, columns | {"toxic": "number", "price": "number"}) == (
        "price: new; obscene: gone; toxic: of another type"
    )


def test_the_same_again_changes_nothing(request_for, source, folder):
    first, _ = download(request_for(source), folder, no_report)
    before = first.path.stat().st_mtime_ns
    assert download(request_for(source), folder, no_report) == (first, False)
    assert first.path.stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["source", "dataset", "metadata", "missing", "schema", "torn metadata"])
def test_a_change_is_made_again(request_for, source, folder, csv_bytes, small, change):
    request = request_for(source)
    download(request, folder, no_report)
    if change == "source":
        source.write_bytes(csv_bytes(60))
    elif change == "dataset":
        (folder / "dataset.csv").write_bytes(b"x" * 10)
    elif change == "metadata":
        (folder / "dataset.json").unlink()
    elif change == "missing":
        (folder / "dataset.csv").unlink()
    elif change == "torn metadata":
        (folder / "dataset.json").write_text('{"source": "tr')
    else:
        request = request_for(source, schema=type(small)({"id": "id", "toxic": "label"}))
    dataset, new = download(request, folder, no_report)
    assert new
    assert load(folder) == dataset


def test_a_copied_project_keeps_its_dataset(request_for, source, folder, tmp_path):
    download(request_for(source), folder, no_report)
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert load(tmp_path / "copy").rows == 50
    assert download(request_for(source), tmp_path / "copy", no_report)[1] is False


def test_a_changed_dataset_is_not_loaded(request_for, source, folder):
    path = download(request_for(source), folder, no_report)[0].path
    path.write_bytes(path.read_bytes().replace(b"number 7", b"number 8"))
    with pytest.raises(MlopsError, match="was changed since") as caught:
        load(folder)
    assert "download-data" in caught.value.hint


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"source": 1}'])
def test_damaged_metadata_are_an_error(request_for, source, folder, content):
    download(request_for(source), folder, no_report)
    (folder / "dataset.json").write_text(content)
    with pytest.raises(MlopsError, match=r"dataset\.json is damaged"):
        load(folder)


def test_a_missing_dataset_is_none(folder):
    assert load(folder) is None


def test_a_folder_and_several_sources_follow_one_another(request_for, folder, tmp_path, csv_bytes, zipped):
    source = tmp_path / "given"
    source.mkdir()
    (source / "b.csv.gz").write_bytes(gzip.compress(csv_bytes(3, start=100)))
    (source / "a.csv").write_bytes(csv_bytes(2))
    (source / "c.zip").write_bytes(zipped({"c.csv": csv_bytes(1, start=200)}))
    (source / "notes.txt").write_text("not data")
    (tmp_path / "last.csv").write_bytes(csv_bytes(1, start=300))
    dataset, _ = download(request_for(source, tmp_path / "last.csv"), folder, no_report)
    ids = [line.split('"')[1] for line in dataset.path.read_text().splitlines() if line.startswith('"r')]
    assert ids == ["r0", "r1", "r100", "r101", "r102", "r200", "r300"]


def test_hidden_files_of_a_folder_are_passed_over(request_for, folder, tmp_path, csv_bytes):
    source = tmp_path / "given"
    source.mkdir()
    (source / "a.csv").write_bytes(csv_bytes(2))
    for name in ("._a.csv", ".~a.csv", ".hidden.zip"):
        (source / name).write_bytes(b"\x00\x05\x16\x07")
    assert download(request_for(source), folder, no_report)[0].rows == 2


@pytest.mark.parametrize("name", ["b.csv.bz2", "b.parquet", "b.gz", "b.tsv", "b.tar", "b.XLSX", "lost.csv", "more"])
def test_ignored_files_of_a_folder_are_reported(request_for, folder, tmp_path, csv_bytes, name):
    source = tmp_path / "given"
    source.mkdir()
    (source / "a.csv").write_bytes(csv_bytes(2))
    if name == "lost.csv":
        (source / name).symlink_to("nowhere.csv")
    elif name == "more":
        (source / name).mkdir()
        (source / name / "part.csv").write_bytes(csv_bytes(2))
    else:
        (source / name).write_bytes(b"x")
    with pytest.raises(MlopsError, match=f"also contains {name}, which is not read"):
        download(request_for(source), folder, no_report)


@pytest.mark.parametrize("name", ["missing.csv", "empty-folder"])
def test_names_a_path_that_holds_nothing(request_for, folder, tmp_path, name):
    (tmp_path / "empty-folder").mkdir()
    with pytest.raises(MlopsError, match=name):
        download(request_for(tmp_path / name), folder, no_report)


@pytest.mark.parametrize(
    ("sources", "settings", "words"),
    [
        ([], {}, "no source"),
        (["a.csv"], {"arguments": {"rows": "10"}}, "rows is no argument of the source a.csv"),
        (["made"], {"arguments": {"seed": "1"}, "scripts": MADE}, "seed is no argument of the source made"),
        (["made"], {"sha256": "0" * 64, "scripts": MADE}, "--sha256 belongs"),
        (["a.csv", "b.csv"], {"sha256": "0" * 64}, "--sha256 belongs"),
        (["a.csv"], {"sha256": "abc"}, "not 64"),
        (["kaggle"], {"competition": ""}, "no Kaggle competition"),
    ],
)
def test_settings_that_do_not_fit_together(request_for, folder, sources, settings, words):
    with pytest.raises(ConfigurationError, match=words):
        download(request_for(*sources, **settings), folder, no_report)
    assert not folder.exists()


def test_checks_the_sha256_of_a_file(request_for, source, folder):
    right = hashlib.sha256(source.read_bytes()).hexdigest()
    assert download(request_for(source, sha256=right), folder, no_report)[1]
    with pytest.raises(MlopsError, match="is not the expected file"):
        download(request_for(source, sha256="1" * 64), folder, no_report)


def test_a_failure_leaves_the_former_dataset_and_the_users_file(request_for, source, folder, tmp_path, csv_bytes):
    before, _ = download(request_for(source), folder, no_report)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(csv_bytes() + b"x,,0,0,0,0,0,0\n")
    content = bad.read_bytes()
    with pytest.raises(MlopsError, match="line 102, column comment_text"):
        download(request_for(bad), folder, no_report)
    assert load(folder) == before
    assert bad.read_bytes() == content
    assert files(folder) == [folder / "dataset.csv", folder / "dataset.json"]


@pytest.mark.parametrize("step", range(1, 5))
def test_being_stopped_between_any_two_steps_of_the_commit(request_for, folder, tmp_path, csv_bytes, step):
    source, other_source = tmp_path / "source.csv", tmp_path / "other.csv"
    source.write_bytes(csv_bytes(10))
    other_source.write_bytes(csv_bytes(20))
    download(request_for(source), folder, no_report)
    with stopped_at(step, folder), pytest.raises(KeyboardInterrupt):
        download(request_for(other_source), folder, no_report)
    assert load(folder) is None or load(folder).rows == 10
    assert download(request_for(other_source), folder, no_report)[0].rows == 20
    assert load(folder).rows == 20


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "may not be read or written"), (errno.EIO, "error")],
)
def test_an_error_of_the_operating_system_is_named(request_for, source, folder, monkeypatch, number, words):
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(MlopsError, match=words):
        download(request_for(source), folder, no_report)
    assert files(folder) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from mlops_cli.data.dataset import download
from mlops_cli.data.request import DataRequest
from mlops_cli.data.tables.schema import Schema
from mlops_cli.errors import MlopsError
from mlops_cli.core.progress import no_report
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    download(DataRequest([sys.argv[2]], Schema({"id": "id", "text": "text"})), Path(sys.argv[1]), no_report)
except MlopsError as error:
    print(error.message)
"""


TEXT = "this is the text of a row " * 16


def numbered_rows(path: Path, rows: int) -> Path:
    """Write the rows one by one, because a child process starts with its parent's memory as its own peak."""
    with path.open("w") as file:
        file.write("id,text\n")
        file.writelines(f"{n},{n} {TEXT}\n" for n in range(rows))
    return path


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(folder, tmp_path):
    source = numbered_rows(tmp_path / "source.csv", 10_000)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), str(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.stdout == f"the disk is full while writing to {folder}\n"
    assert files(folder) == []


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(rows: int) -> int:
        code = FULL.replace("200_000, 200_000", "-1, -1")
        code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        source = numbered_rows(tmp_path / "source.csv", rows)
        command = [sys.executable, "-c", code, str(tmp_path / "data"), str(source)]
        return int(
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS).stdout
        )

    # Ids are kept as eight bytes each; ten times the text would be 30 MB more.
    few, large = peak(10_000), peak(100_000)
    assert (tmp_path / "data" / "dataset.csv").stat().st_size > 35e6
    assert large < 1.3 * few
