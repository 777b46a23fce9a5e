"""The check of a downloaded file's digest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.data.sources.path_files import verify
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest


def verify_download(request: DataRequest, path: Path, name: str, scratch: Path) -> None:
    """Raise MlopsError if the downloaded file does not have the requested digest."""
    if request.sha256 is None:
        return
    received = scratch / "content"  # the body as sent, which may be encoded: the user may know either digest
    if received != path and digest_file(received) == request.sha256.lower():
        return
    try:
        verify(path, request.sha256, name)
    except MlopsError:
        shutil.rmtree(scratch)  # otherwise the next attempt would treat it as complete
        raise
