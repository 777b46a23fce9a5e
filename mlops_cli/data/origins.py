"""What each source was when the dataset was made of it, and whether it is another one now."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from mlops_cli.data.http.response_head import Answer
from mlops_cli.data.http.urls import Remote, is_url, shown_url
from mlops_cli.data.metadata import read_dataset_info
from mlops_cli.data.sources import path_files
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file

# How long a command may be held up by servers that are asked on the side.
PATIENCE_SECONDS = 2.0
# Larger files are compared by size and times only: reading them would hold a command up.
_READ_BYTES = 256 * 2**20


class State(Enum):
    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


def url_origin(url: str, answer: Answer | None) -> dict[str, Any]:
    """What names the content of a URL. An address that may hold a secret is not written down, only its digest."""
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


def path_origin(source: str, folder: Path) -> dict[str, Any]:
    """How the files of a path look, and their digests; taken before they are read."""
    return {
        "kind": "path",
        "shown": source,
        "folder": str(folder.resolve()),
        "files": [{**_look(path), "sha256": digest_file(path)} for path in path_files(source, folder)],
    }


def _look(path: Path) -> dict[str, Any]:
    """Size and time of change can be set to what they were, the time of the inode's change cannot."""
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
    }


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


class Inquiry:
    """Ask on the side whether the sources of a dataset have changed, while a command does its work."""

    def __init__(self, folder: Path, known_urls: Sequence[str]) -> None:
        """``known_urls`` are addresses that the project itself names."""
        self._changed: list[str] = []
        self.sources: list[str] = []
        self._thread = threading.Thread(target=self._ask, args=(folder, list(known_urls)), daemon=True)
        self._thread.start()

    def _ask(self, folder: Path, known_urls: Sequence[str]) -> None:
        # Nobody has asked for this: what keeps it from an answer is no concern of the command.
        with contextlib.suppress(MlopsError, OSError, ValueError, KeyError, TypeError, AttributeError):
            origins = (read_dataset_info(folder) or {}).get("origins", [])
            self.sources = [str(origin["shown"]) for origin in origins]
            for origin in origins:
                if state(origin, known_urls) is State.CHANGED:
                    self._changed.append(origin["shown"])

    def changed(self, seconds: float = PATIENCE_SECONDS) -> list[str]:
        """The sources that are known to have changed, after waiting this long at most."""
        self._thread.join(seconds)
        return list(self._changed)


def state(origin: dict[str, Any], known_urls: Iterable[str] = (), seconds: float = PATIENCE_SECONDS) -> State:
    """Whether a source is what it was. Raise MlopsError if it cannot be reached."""
    if origin["kind"] == "path":
        return _path_state(origin)
    if origin["kind"] != "url":
        return State.UNKNOWN
    urls = [url for url in (origin["url"], *known_urls) if url and is_url(url) and _digest(url) == origin["digest"]]
    return _url_state(origin, urls[0], seconds) if urls else State.UNKNOWN


def _path_state(origin: dict[str, Any]) -> State:
    paths = path_files(origin["shown"], Path(origin["folder"]))
    before = {file["path"]: file for file in origin["files"]}
    if [str(path.resolve()) for path in paths] != list(before):
        return State.CHANGED
    for path in paths:
        known, look = before[str(path.resolve())], _look(path)
        if known["bytes"] != look["bytes"]:
            return State.CHANGED
        touched = any(known[name] != look[name] for name in look)
        if touched and (look["bytes"] > _READ_BYTES or digest_file(path) != known["sha256"]):
            return State.CHANGED
    return State.SAME


def _url_state(origin: dict[str, Any], url: str, seconds: float) -> State:
    """By a HEAD request; by a GET whose body is not read where a server has no HEAD."""
    from mlops_cli.data.http.client import Client

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
    """By the strongest name that both have: ETag, time of change, length."""
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
    """An ETag without its mark of weakness: whoever packs an answer on the way adds it to the same content."""
    return etag.removeprefix("W/")
