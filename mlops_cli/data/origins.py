"""The state of each source at the download, and its comparison with the present state."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from mlops_cli.data.metadata import read_dataset_info
from mlops_cli.data.sources.http.client import CONNECT_SECONDS
from mlops_cli.data.sources.http.response_head import Answer
from mlops_cli.data.sources.http.urls import Remote, is_url, shown_url
from mlops_cli.data.sources.local_path import path_files
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file

# The longest delay of a command by the servers of its sources.
PATIENCE_SECONDS = 2.0
# Larger files are compared by size and times only: reading them would delay the command.
_READ_BYTES = 256 * 2**20


class State(Enum):
    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


def url_origin(url: str, answer: Answer | None) -> dict[str, Any]:
    """Return the identity of a URL's content. A secret address is stored as a digest only."""
    remote = Remote.from_url(url)
    is_public = remote.url == url and "?" not in url
    version = {} if answer is None else {
        "etag": answer.etag,
        "last_modified": answer.last_modified,
        "length": answer.length,
        "encoding": answer.encoding,
        "answered_by": shown_url(answer.address),
    }  # fmt: skip
    return {"kind": "url", "shown": shown_url(url), "url": url if is_public else "", "digest": _digest(url), **version}


def kaggle_origin(competition: str) -> dict[str, Any]:
    """Return the competition's files by name, size and time; without them if Kaggle does not list them."""
    from mlops_cli.data.sources.kaggle import list_files

    origin = {"kind": "kaggle", "shown": "kaggle", "competition": competition}
    with contextlib.suppress(MlopsError):  # the download itself says what is wrong
        return {**origin, "files": list_files(competition, CONNECT_SECONDS)}
    return origin


def path_origin(source: str, folder: Path) -> dict[str, Any]:
    """Return the stat data and digests of a path's files, taken before they are read."""
    return {
        "kind": "path",
        "shown": source,
        "folder": str(folder.resolve()),
        "files": [{**_look(path), "sha256": digest_file(path)} for path in path_files(source, folder)],
    }


def _look(path: Path) -> dict[str, Any]:
    """Return the stat data. Size and mtime can be forged, the time of the inode's change cannot."""
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
    }


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


class SourceCheck:
    """Compare a dataset's sources with their present state in the background of a command."""

    def __init__(self, folder: Path, known_urls: Sequence[str]) -> None:
        """``known_urls``: addresses in the project itself."""
        self._changed: list[str] = []
        self.sources: list[str] = []
        self._thread = threading.Thread(target=self._ask, args=(folder, list(known_urls)), daemon=True)
        self._thread.start()

    def _ask(self, folder: Path, known_urls: Sequence[str]) -> None:
        # Nobody asked for this check, so its errors do not concern the command.
        with contextlib.suppress(MlopsError, OSError, ValueError, KeyError, TypeError, AttributeError):
            origins = (read_dataset_info(folder) or {}).get("origins", [])
            self.sources = [str(origin["shown"]) for origin in origins]
            for origin in origins:
                if state(origin, known_urls) is State.CHANGED:
                    self._changed.append(origin["shown"])

    def changed(self, seconds: float = PATIENCE_SECONDS) -> list[str]:
        """Return the sources known to have changed, after a wait of at most ``seconds``."""
        self._thread.join(seconds)
        return list(self._changed)


def state(origin: dict[str, Any], known_urls: Iterable[str] = (), seconds: float = PATIENCE_SECONDS) -> State:
    """Return the state of a source. Raise MlopsError if it is unreachable."""
    if origin["kind"] == "path":
        return _path_state(origin)
    if origin["kind"] == "kaggle" and "files" in origin:
        return _kaggle_state(origin, seconds)
    if origin["kind"] != "url":
        return State.UNKNOWN
    urls = [url for url in (origin["url"], *known_urls) if url and is_url(url) and _digest(url) == origin["digest"]]
    return _url_state(origin, urls[0], seconds) if urls else State.UNKNOWN


def _kaggle_state(origin: dict[str, Any], seconds: float) -> State:
    from mlops_cli.data.sources.kaggle import list_files

    return State.SAME if list_files(origin["competition"], seconds) == origin["files"] else State.CHANGED


def _path_state(origin: dict[str, Any]) -> State:
    paths = path_files(origin["shown"], Path(origin["folder"]))
    before = {file["path"]: file for file in origin["files"]}
    if [str(path.resolve()) for path in paths] != list(before):
        return State.CHANGED
    for path in paths:
        recorded, look = before[str(path.resolve())], _look(path)
        if recorded["bytes"] != look["bytes"]:
            return State.CHANGED
        touched = any(recorded[name] != look[name] for name in look)
        if touched and (look["bytes"] > _READ_BYTES or digest_file(path) != recorded["sha256"]):
            return State.CHANGED
    return State.SAME


def _url_state(origin: dict[str, Any], url: str, seconds: float) -> State:
    """Return the state by a HEAD request; by a GET without its body if the server has no HEAD."""
    from mlops_cli.data.sources.http.client import Client

    remote = Remote.from_url(url)
    conditions = {"If-None-Match": origin.get("etag"), "If-Modified-Since": origin.get("last_modified")}
    headers = {name: value for name, value in conditions.items() if value}
    with Client(remote, seconds, seconds) as client:
        for method in ("HEAD", "GET"):
            response = client.request(method, headers)
            response.close()
            if response.status == 304:
                return State.SAME
            if response.status == 200:
                return _compared(origin, Answer.of(response, remote.name, client.address))
    return State.UNKNOWN


def _compared(origin: dict[str, Any], answer: Answer) -> State:
    """Compare by the strongest validator that both have: ETag, timestamp, length."""
    if origin.get("etag") and answer.etag:
        return _same(_opaque(origin["etag"]) == _opaque(answer.etag))
    if origin.get("last_modified") and answer.last_modified:
        return _same(origin["last_modified"] == answer.last_modified)
    lengths = origin.get("length"), answer.length
    if None not in lengths and origin.get("encoding") == answer.encoding and lengths[0] != lengths[1]:
        return State.CHANGED
    return State.UNKNOWN


def _same(is_same: bool) -> State:
    return State.SAME if is_same else State.CHANGED


def _opaque(etag: str) -> str:
    """Return an ETag without its weakness mark: a compressing proxy adds it to the same content."""
    return etag.removeprefix("W/")
