"""The project's dataset: downloaded from any source, checked row by row, written completely or not at all.

``download`` writes dataset.csv (UTF-8, the schema's columns), or files/ without a schema, and then the metadata
dataset.json. Unfinished files are in partial/; a later download continues or replaces them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlops_cli.core.progress import Report
from mlops_cli.data.compression.archives import unpack
from mlops_cli.data.files import FileCollector
from mlops_cli.data.metadata import (
    CSV_NAME,
    FILES,
    JSON_NAME,
    PARTIAL,
    DatasetInfo,
    load,
    look_of,
    read_dataset_info,
    write_dataset_info,
)
from mlops_cli.data.request import DataRequest
from mlops_cli.data.sources.catalog import sources_of, state_of
from mlops_cli.data.sources.http.client import CONNECT_SECONDS
from mlops_cli.data.sources.source import FetchedSource, State
from mlops_cli.data.tables.csv_sources import path_tables
from mlops_cli.data.tables.table_files import check_tables
from mlops_cli.data.writer import Writer
from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import remove_tree


def download(request: DataRequest, folder: Path, report: Report) -> tuple[DatasetInfo, bool]:
    """Return the requested dataset in ``folder``, and True if it has changed.

    Raise MlopsError if it is unavailable or violates the schema; then the previous dataset is untouched. The caller
    holds the project's lock.
    """
    request.validate()
    with _translate_io_errors(folder):
        key = request.key()
        existing = _existing(folder)
        if existing and is_current(request, key, read_dataset_info(folder) or {}):
            return existing, False
        folder.mkdir(parents=True, exist_ok=True)
        _remove_other_partials(folder, key)
        scratch = folder / PARTIAL / key[:16]
        scratch.mkdir(parents=True, exist_ok=True)
        dataset = _build(request, key, folder, scratch, report)
        remove_tree(folder / PARTIAL)
        is_same = existing and (dataset.sha256, dataset.source) == (existing.sha256, existing.source)
        return dataset, not is_same


def is_current(request: DataRequest, key: str, document: dict[str, Any]) -> bool:
    """Return True if the request would download the dataset that this metadata describes."""
    origins = document.get("origins", [])
    if document.get("request") != key or len(origins) != len(request.sources):
        return False
    pairs = list(zip(sources_of(request), origins, strict=True))
    if any(state_of(origin, [], 0) is State.CHANGED for source, origin in pairs if source.is_state_local):
        return False
    return not request.refresh or not any(
        not source.is_state_in_identity
        and state_of(origin, [source.name], CONNECT_SECONDS, request.objects) is not State.SAME
        for source, origin in pairs
    )


def _build(request: DataRequest, key: str, folder: Path, scratch: Path, report: Report) -> DatasetInfo:
    unfinished = scratch / (CSV_NAME if request.is_table else FILES)
    try:
        build = _build_table if request.is_table else _build_files
        return _commit(folder, unfinished, *build(request, key, unfinished, report))
    except BaseException:
        remove_tree(unfinished)
        _remove_unpacked(scratch)
        raise


def _build_table(request: DataRequest, key: str, unfinished: Path, report: Report) -> tuple[DatasetInfo, Path]:
    """Write the checked rows of all sources, and the metadata."""
    assert request.schema is not None
    fetched_sources: list[FetchedSource] = []
    remarks: list[str] = []
    scratch = unfinished.parent
    with unfinished.open("wb") as out:
        writer = Writer(out, request.schema)
        for number, source in enumerate(sources_of(request)):
            fetched = source.fetch(scratch / str(number), report)
            for table in path_tables(fetched.path, fetched.name, request.file, scratch / str(number) / "unpacked"):
                writer.add_table(table, report)
                remarks += table.remarks
            fetched_sources.append(fetched)
        writer.finish()
        out.flush()
        os.fsync(out.fileno())
    rows = writer.checker.rows
    dataset = DatasetInfo(
        **_origin_of(request),
        sha256=writer.sha256,
        rows=rows,
        label_rates={name: count / rows for name, count in writer.checker.positives.items()},
        bytes=unfinished.stat().st_size,
        ignored_columns=writer.ignored,
        path=unfinished,
        remarks=[*_remarks(fetched_sources), *remarks],
        columns=dict(request.schema.columns),
    )
    return dataset, _write_metadata(dataset, key, fetched_sources)


def _build_files(request: DataRequest, key: str, unfinished: Path, report: Report) -> tuple[DatasetInfo, Path]:
    """Write the files of all sources and the metadata. Unpack archives."""
    remove_tree(unfinished)
    collector, fetched_sources = FileCollector(unfinished, report), []
    for number, source in enumerate(sources_of(request)):
        fetched = source.fetch(unfinished.parent / str(number), report)
        if fetched.is_archive:
            unpack(fetched.path, fetched.name, collector)
        elif fetched.path.is_dir():
            collector.add_folder(fetched.path)
        else:
            collector.add_file(fetched.path, Path(fetched.name).name)
        fetched_sources.append(fetched)
    collector.finish(request.shown())
    tables = check_tables(unfinished, request.tables, unfinished.parent / "tables", report)
    dataset = DatasetInfo(
        **_origin_of(request),
        sha256=collector.sha256,
        rows=0,
        label_rates={},
        bytes=collector.bytes,
        ignored_columns=[],
        path=unfinished,
        remarks=[*_remarks(fetched_sources), *tables],
        files=collector.count,
    )
    return dataset, _write_metadata(dataset, key, fetched_sources)


def _origin_of(request: DataRequest) -> dict[str, Any]:
    return {
        "source": request.shown(),
        "synthetic": any(source.is_synthetic for source in sources_of(request)),
        "fetched_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _remarks(sources: Sequence[FetchedSource]) -> list[str]:
    return [source.remark for source in sources if source.remark]


def _write_metadata(dataset: DatasetInfo, key: str, sources: Sequence[FetchedSource]) -> Path:
    path = dataset.path.with_name(JSON_NAME)
    write_dataset_info(dataset, key, look_of(dataset.path), path, [source.origin for source in sources])
    return path


def _commit(folder: Path, unfinished: Path, dataset: DatasetInfo, metadata: Path) -> DatasetInfo:
    """Move the data into place, dataset.json last: after a kill there is no dataset rather than a wrong one."""
    (folder / JSON_NAME).unlink(missing_ok=True)
    for name in {CSV_NAME, FILES} - {unfinished.name}:
        remove_tree(folder / name)
    if dataset.files:
        remove_tree(folder / FILES)
    path = unfinished.replace(folder / unfinished.name)
    metadata.replace(folder / JSON_NAME)
    _sync_folder(folder)
    return replace(dataset, path=path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _existing(folder: Path) -> DatasetInfo | None:
    """Return the dataset in the folder; None if it is missing or was modified."""
    try:
        return load(folder)
    except MlopsError:  # the new dataset replaces it
        return None


def _remove_other_partials(folder: Path, key: str) -> None:
    """Remove the unfinished files of other requests, because no download continues them."""
    for path in (folder / PARTIAL).glob("*"):
        if path.name != key[:16]:
            remove_tree(path)


def _remove_unpacked(scratch: Path) -> None:
    for unpacked in scratch.rglob("inner-*"):
        unpacked.unlink()


@contextlib.contextmanager
def _translate_io_errors(folder: Path) -> Iterator[None]:
    """Raise MlopsError, with one clear line, instead of an OSError."""
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
