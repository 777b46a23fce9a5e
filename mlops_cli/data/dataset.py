"""The project's dataset: downloaded from any source, checked row by row, written completely or not at all.

``download`` leaves two files in its folder: dataset.csv (UTF-8, the schema's columns) and, written last, its metadata
dataset.json. Unfinished files are in partial/ and are either continued or replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlops_cli.core.progress import Report
from mlops_cli.data.compressed import CsvSource
from mlops_cli.data.csv_sources import path_tables, tables
from mlops_cli.data.metadata import (
    CSV_NAME,
    JSON_NAME,
    PARTIAL,
    DatasetInfo,
    load,
    read_dataset_info,
    write_dataset_info,
)
from mlops_cli.data.origins import State, kaggle_origin, path_origin, state, url_origin
from mlops_cli.data.request import DataRequest
from mlops_cli.data.sources.http.client import CONNECT_SECONDS
from mlops_cli.data.sources.http.download import Download
from mlops_cli.data.sources.http.urls import Remote, is_url
from mlops_cli.data.sources.kaggle import download as kaggle_download
from mlops_cli.data.sources.local_path import path_files, verify
from mlops_cli.data.sources.sample import generator
from mlops_cli.data.writer import Writer
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file


def download(request: DataRequest, folder: Path, report: Report) -> tuple[DatasetInfo, bool]:
    """Return the requested dataset in ``folder``, and True if it has changed.

    Raise MlopsError if it is unavailable or violates the schema; then the previous dataset is untouched. The caller
    holds the project's lock.
    """
    request.validate()
    with _translate_io_errors(folder):
        key = request.key()
        existing = _existing(folder)
        is_same_request = existing is not None and (read_dataset_info(folder) or {}).get("request") == key
        if existing and is_same_request and not (request.refresh and _may_have_changed(request, folder)):
            return existing, False
        folder.mkdir(parents=True, exist_ok=True)
        _remove_other_partials(folder, key)
        scratch = folder / PARTIAL / key[:16]
        scratch.mkdir(parents=True, exist_ok=True)
        dataset = _build(request, key, folder, scratch, report)
        shutil.rmtree(folder / PARTIAL)
        is_same = existing and (dataset.sha256, dataset.source) == (existing.sha256, existing.source)
        return dataset, not is_same


def _build(request: DataRequest, key: str, folder: Path, scratch: Path, report: Report) -> DatasetInfo:
    unfinished = scratch / CSV_NAME
    sources: list[_Source] = []
    try:
        with unfinished.open("wb") as out:
            writer = Writer(out, request.schema)
            for number, source in enumerate(request.sources):
                sources.append(_add_source(request, source, writer, scratch / str(number), report))
            writer.finish()
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        unfinished.unlink(missing_ok=True)
        _remove_unpacked(scratch)
        raise
    return _commit(request, key, folder, unfinished, writer, sources)


@dataclass(frozen=True)
class _Source:
    """The tables of a source, the source's state when they were read, and notes for the user."""

    tables: list[CsvSource]
    origin: dict[str, Any]
    remark: str = ""


def _add_source(request: DataRequest, source: str, writer: Writer, scratch: Path, report: Report) -> _Source:
    if source == "sample":
        rows = request.rows or generator.DEFAULT_ROWS
        writer.add_sample(generator.sample_blocks(request.schema.columns, rows, request.seed), rows, report)
        return _Source([], {"kind": "sample", "shown": source})
    opened = _opened(request, source, scratch, report)
    for table in opened.tables:
        writer.add_table(table, report)
    return opened


def _opened(request: DataRequest, source: str, scratch: Path, report: Report) -> _Source:
    if source == "kaggle":
        origin = kaggle_origin(request.competition)
        path = kaggle_download(request.competition, scratch, report, request.most_bytes)
        return _Source(_received(request, path, request.competition, scratch), origin)
    if not is_url(source):
        return _path_source(request, source, scratch)
    remote = Remote.from_url(source)
    download = Download(remote, scratch, report, request.most_bytes)
    path = download.run()
    remark = "" if download.is_length_known else (
        f"{remote.name} came without its length: whether it is whole, only the number of rows or --sha256 can tell"
    )  # fmt: skip
    return _Source(_received(request, path, remote.file_name, scratch), url_origin(source, download.version), remark)


def _path_source(request: DataRequest, source: str, scratch: Path) -> _Source:
    if request.sha256 is not None:
        for path in path_files(source, request.folder):
            verify(path, request.sha256, str(path))
    origin = path_origin(source, request.folder)
    return _Source(path_tables(source, request.folder, request.file, scratch), origin)


def _received(request: DataRequest, path: Path, name: str, scratch: Path) -> list[CsvSource]:
    """Return the tables in the downloaded file, after a check of its digest."""
    if request.sha256 is not None:
        _verify_download(path, request.sha256, name, scratch)
    return tables(path, name, request.file, scratch / "unpacked")


def _verify_download(path: Path, sha256: str, name: str, scratch: Path) -> None:
    received = scratch / "content"  # the body as sent, perhaps encoded: the user may know either digest
    if received != path and digest_file(received) == sha256.lower():
        return
    try:
        verify(path, sha256, name)
    except MlopsError:
        shutil.rmtree(scratch)  # else the next attempt would take it for complete
        raise


def _commit(
    request: DataRequest, key: str, folder: Path, unfinished: Path, writer: Writer, sources: Sequence[_Source]
) -> DatasetInfo:
    """Move the files into place, dataset.json last: a kill in between leaves no dataset, never a wrong one."""
    rows = writer.checker.rows
    rates = {name: count / rows for name, count in writer.checker.positives.items()}
    path = folder / CSV_NAME
    dataset = DatasetInfo(
        source=request.shown(),
        sha256=writer.sha256,
        rows=rows,
        label_rates=rates,
        bytes=unfinished.stat().st_size,
        synthetic="sample" in request.sources,
        fetched_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        ignored_columns=writer.ignored,
        path=path,
        remarks=[source.remark for source in sources if source.remark],
    )
    unfinished_metadata = unfinished.with_name(JSON_NAME)
    write_dataset_info(
        dataset, key, unfinished.stat().st_mtime_ns, unfinished_metadata, [source.origin for source in sources]
    )
    (folder / JSON_NAME).unlink(missing_ok=True)
    unfinished.replace(path)
    unfinished_metadata.replace(folder / JSON_NAME)
    _sync_folder(folder)
    return dataset


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _existing(folder: Path) -> DatasetInfo | None:
    """Return the dataset in the folder; None if it is missing or modified."""
    try:
        return load(folder)
    except MlopsError:  # a new one replaces it
        return None


def _may_have_changed(request: DataRequest, folder: Path) -> bool:
    """True unless every source is known to be unchanged; for a URL or Kaggle only the server knows."""
    origins = (read_dataset_info(folder) or {}).get("origins", [])
    if len(origins) != len(request.sources):
        return True
    fixed = ("sample", "path")  # the state of a path is a part of the request's key
    return any(
        origin["kind"] not in fixed and state(origin, [source], CONNECT_SECONDS) is not State.SAME
        for origin, source in zip(origins, request.sources, strict=True)
    )


def _remove_other_partials(folder: Path, key: str) -> None:
    """Remove the unfinished files of other requests: they will not be continued."""
    for path in (folder / PARTIAL).glob("*"):
        if path.name != key[:16]:
            shutil.rmtree(path)


def _remove_unpacked(scratch: Path) -> None:
    for unpacked in scratch.rglob("inner-*"):
        unpacked.unlink()


@contextlib.contextmanager
def _translate_io_errors(folder: Path) -> Iterator[None]:
    """Raise MlopsError for an OSError, with one clear line."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise MlopsError(
                f"the disk is full while writing to {folder}", "make room, then repeat the command"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise MlopsError(
                f"{path} may not be read or written", "change its permissions, then repeat the command"
            ) from None
        raise MlopsError(f"{path}: {error.strerror or error}", "fix this, then repeat the command") from None
