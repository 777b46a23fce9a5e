"""The tables in a downloaded file, after a check of its digest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.data.compressed import CsvSource
from mlops_cli.data.csv_sources import tables
from mlops_cli.data.sources.local_path import verify
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest


def received_tables(request: DataRequest, path: Path, name: str, scratch: Path) -> list[CsvSource]:
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
