"""A local file server with faults, a local Kaggle, and small datasets."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlops_cli.data.request import DataRequest
from mlops_cli.data.tables.schema import Schema

LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
HEADER = ",".join(["id", "comment_text", *LABELS])


def files_in(folder: Path) -> list[Path]:
    """Return all files of a download in the folder, also partial ones."""
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def schema() -> Schema:
    return Schema({"id": "id", "comment_text": "text"} | dict.fromkeys(LABELS, "label"))


@pytest.fixture
def small() -> Schema:
    """Provide a schema with one label, so that a row of test data is one short line."""
    return Schema({"id": "id", "text": "text", "bad": "label"})


@pytest.fixture
def csv_bytes() -> Callable[..., bytes]:
    """Return a valid CSV with this number of rows for ``schema``."""

    def make(rows: int = 50, start: int = 0) -> bytes:
        lines = [f'r{n},"Comment, number {n}\nsays ""hi""",{n % 2},0,0,0,0,0' for n in range(start, start + rows)]
        return "\n".join([HEADER, *lines, ""]).encode()

    return make


def zip_bytes(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    return zip_bytes


@contextmanager
def stopped_at(step: int, folder: Path) -> Iterator[None]:
    """Raise Ctrl-C instead of the ``step``-th removal or renaming below a folder."""
    steps: list[Path] = []

    def stopping(original: Callable[..., object]) -> Callable[..., object]:
        def move(path: Path, *arguments: object, **settings: object) -> object:
            if folder in path.parents:
                steps.append(path)
            if len(steps) == step:
                raise KeyboardInterrupt
            return original(path, *arguments, **settings)

        return move

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", stopping(Path.unlink))
        patch.setattr(Path, "replace", stopping(Path.replace))
        yield


@pytest.fixture
def request_for(schema: Schema) -> Callable[..., DataRequest]:
    def make(*sources: str | Path, **settings: object) -> DataRequest:
        settings = {"schema": schema, "competition": "toxic", "file": "train.csv"} | settings
        return DataRequest([str(source) for source in sources], **settings)

    return make


@dataclass
class FileServer:
    """Serves ``content`` at any path, with the faults that the test chooses."""

    content: bytes = b""
    etag: str = '"one"'
    head: bool = True
    ranges: bool = True
    status: int = 200
    close_after: list[int] = field(default_factory=list)  # for each answer to come, how many bytes before it breaks
    stall_after: int | None = None
    redirect_from: str = ""
    password: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                server.answer(self)

            def do_HEAD(self) -> None:
                if not server.head or server.status != 200:
                    return _head(self, server.status if server.head else 405, {"Content-Length": "0"})
                if server.etag and self.headers.get("If-None-Match") == server.etag:
                    return _head(self, 304, {"ETag": server.etag})
                headers = {"ETag": server.etag, "Content-Length": str(len(server.content))}
                return _head(self, 200, {name: value for name, value in headers.items() if value})

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if self.redirect_from and handler.path == self.redirect_from:
            return _head(handler, 302, {"Location": "/there.csv", "Content-Length": "0"})
        if self.password and handler.headers.get("Authorization") != self.password:
            return _head(handler, 401, {"Content-Length": "0"})
        if self.status != 200:
            return _head(handler, self.status, {"Content-Length": "0"})
        start = self._start(handler)
        if start is not None and start >= len(self.content):
            return _head(handler, 416, {"Content-Length": "0"})
        headers = {"Content-Length": str(len(self.content) - (start or 0))}
        if self.etag:
            headers["ETag"] = self.etag
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        _head(handler, 200 if start is None else 206, headers)
        return self._body(handler, self.content[start or 0 :])

    def _start(self, handler: BaseHTTPRequestHandler) -> int | None:
        requested_range = handler.headers.get("Range")
        if not self.ranges or not requested_range or handler.headers.get("If-Range") != self.etag:
            return None
        return int(requested_range.removeprefix("bytes=").rstrip("-"))

    def _body(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.stall_after is not None:
            handler.wfile.write(body[: self.stall_after])
            handler.wfile.flush()
            self.released.wait(30)
            return
        limit = self.close_after.pop(0) if self.close_after else len(body)
        handler.wfile.write(body[:limit])
        handler.close_connection = True


def _head(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _serving(handler: type[BaseHTTPRequestHandler]) -> tuple[ThreadingHTTPServer, str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    messages = FileServer()
    server, messages.url = _serving(messages.handler())
    yield messages
    messages.released.set()
    server.shutdown()
    server.server_close()


@dataclass
class FakeKaggle:
    """The part of Kaggle's API that a download uses. ``status``: of the responses to the download and the listing."""

    archive: bytes = b""
    status: int = 200
    token_known: bool = True
    downloads: int = 0
    created: str = "2026-01-01T00:00:00Z"
    listings: list[str] = field(default_factory=list)  # who asked, by the header
    close_after: list[int] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        kaggle = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.endswith("IntrospectToken"):
                    return self._json(200, {"active": kaggle.token_known, "username": "someone"})
                of_dataset = "Dataset" in self.path
                is_listing = self.path.endswith("ListDatasetFiles" if of_dataset else "ListDataFiles")
                assert is_listing or self.path.endswith("DownloadDataset" if of_dataset else "DownloadDataFiles")
                if is_listing:
                    kaggle.listings.append(self.headers.get("Authorization", ""))
                if kaggle.status == 200 and is_listing:
                    size = len(kaggle.archive)
                    file = {"name": "train.csv.zip", "totalBytes": size, "creationDate": kaggle.created}
                    return self._json(200, {"datasetFiles" if of_dataset else "files": [file]})
                if kaggle.status != 200:
                    return self._json(kaggle.status, {"code": kaggle.status, "message": "s3cret-token refused"})
                return _head(self, 302, {"Location": "/storage/toxic.zip?signature=abc", "Content-Length": "0"})

            def do_GET(self) -> None:
                kaggle.downloads += 1
                start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
                body = kaggle.archive[start:]
                headers = {"Content-Length": str(len(body)), "ETag": '"zip"', "Content-Type": "application/zip"}
                if start:
                    total = len(kaggle.archive)
                    headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
                _head(self, 206 if start else 200, headers)
                limit = kaggle.close_after.pop(0) if kaggle.close_after else len(body)
                self.wfile.write(body[:limit])
                self.close_connection = True

            def _json(self, status: int, answer: dict[str, object]) -> None:
                body = json.dumps(answer).encode()
                _head(self, status, {"Content-Type": "application/json", "Content-Length": str(len(body))})
                self.wfile.write(body)

        return Handler


@pytest.fixture
def kaggle_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create invented credentials."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def kaggle(kaggle_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    """A fake Kaggle in place of the real one, and a token for it."""
    kaggle_env = pytest.importorskip("kagglesdk.kaggle_env")
    kaggle = FakeKaggle()
    server, url = _serving(kaggle.handler())
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, url)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "s3cret-token")
    yield kaggle
    server.shutdown()
    server.server_close()
