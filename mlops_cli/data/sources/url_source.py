"""A URL as a source: a file on a web server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.http.urls import Remote, is_url, shown_url
from mlops_cli.data.sources.source import FetchedSource, Origin, Source, State

if TYPE_CHECKING:
    from mlops_cli.data.sources.http.response_head import Answer


class UrlSource(Source):
    kind = "url"

    @staticmethod
    def accepts(name: str) -> bool:
        return is_url(name)

    def identity(self) -> list[object]:
        return [self.request.file]

    @property
    def shown(self) -> str:
        return shown_url(self.name)

    def fetch(self, scratch: Path, report: Report) -> FetchedSource:
        from mlops_cli.data.compression.archives import is_archive
        from mlops_cli.data.sources.download_digest import verify_download
        from mlops_cli.data.sources.http.download import Download

        request, remote = self.request, Remote.from_url(self.name)
        download = Download(remote, scratch, report, request.most_bytes)
        path = download.run()
        remark = "" if download.is_length_known else (
            f"{remote.name} was sent without its length: check with the number of rows or --sha256 that it is complete"
        )  # fmt: skip
        verify_download(request, path, remote.file_name, scratch)
        origin, name = url_origin(self.name, download.version), remote.file_name
        return FetchedSource(origin, path, name, remark, is_archive(name))

    @staticmethod
    def state(origin: Origin, known_urls: Iterable[str], seconds: float) -> State:
        urls = [url for url in (origin["url"], *known_urls) if url and is_url(url) and _digest(url) == origin["digest"]]
        return _url_state(origin, urls[0], seconds) if urls else State.UNKNOWN


def url_origin(url: str, answer: Answer | None) -> dict[str, Any]:
    """Return the identity of a URL's content. A secret address is stored only as a digest."""
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


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _url_state(origin: dict[str, Any], url: str, seconds: float) -> State:
    """Return the state with a HEAD request, or with a GET without its body if the server does not support HEAD."""
    from mlops_cli.data.sources.http.client import Client
    from mlops_cli.data.sources.http.response_head import Answer

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
    """Return an ETag without its weakness mark, because a compressing proxy adds this mark to the same content."""
    return etag.removeprefix("W/")
