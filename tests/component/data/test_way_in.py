"""Whole downloads of random tables, archives and connections, with a fixed seed.

Every row arrives, or an error names the place.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="it comes with the extra: pip install -e '.[test]'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.data.request import DataRequest
from mlops_cli.data.tables.schema import Schema
from mlops_cli.errors import MlopsError

SCHEMA = Schema({"id": "id", "text": "text", "bad": "label", "free": "any"})
FIXED = settings(
    derandomize=True, database=None, max_examples=120, deadline=None, suppress_health_check=list(HealthCheck)
)
# What has torn or joined rows somewhere: quotes, separators, line breaks of every kind, marks, wide characters.
CHARACTERS = st.sampled_from("aé\"',;\t\n\r\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\ufeff😀\\ =")
CELLS = st.text(CHARACTERS, max_size=12)
ROWS = st.lists(
    st.tuples(CELLS.map(lambda cell: cell + "x"), st.sampled_from(["0", "1"]), CELLS), min_size=1, max_size=12
)


@dataclass(frozen=True)
class Form:
    """The form of a table: its bytes and its compression."""

    encoding: str
    line_end: str
    quotes_all: bool
    is_closed: bool
    extra_column: bool
    packing: str

    def written(self, rows: list[tuple[str, str, str, str]]) -> bytes:
        more = ["left, out\n"] * self.extra_column
        table = [[free, number, bad, text, *more] for number, text, bad, free in rows]
        header = ["free", "id", "bad", "text", *["more"] * self.extra_column]
        text = "".join(",".join(map(self.cell, row)) + self.line_end for row in [header, *table])
        return (text if self.is_closed else text.removesuffix(self.line_end)).encode(self.encoding)

    def cell(self, cell: str) -> str:
        quoted = '"' + cell.replace('"', '""') + '"'
        return quoted if self.quotes_all or set(cell) & set(',"\r\n') else cell


FORMS = st.builds(
    Form,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-8", "cp1252", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quotes_all=st.booleans(),
    is_closed=st.booleans(),
    extra_column=st.booleans(),
    packing=st.sampled_from(["plain", "gz", "gz of two", "zip", "stored", "zip in zip", "gz in zip", "bz2", "two"]),
)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "gz of two": lambda content: gzip.compress(content[:50]) + gzip.compress(content[50:]),
    "zip": lambda content: zipped({"data/any.csv": content, "__MACOSX/._any.csv": b"x"}),
    "stored": lambda content: zipped({"any.csv": content}, zipfile.ZIP_STORED),
    "zip in zip": lambda content: zipped({"any.zip": zipped({"data\\any.csv": content})}),
    "gz in zip": lambda content: zipped({"any.csv.gz": gzip.compress(content)}),
    "bz2": bz2.compress,
    "two": lambda content: zipped({"a.csv.gz": gzip.compress(content), "b.csv.gz": gzip.compress(content)}),
}


def outcome(source: str, rows: list[tuple[str, str, str, str]], origin: str) -> str:
    """Return True if the rows arrived, cell by cell; an error names the origin."""
    with tempfile.TemporaryDirectory() as folder:
        request = DataRequest([source], SCHEMA, file="train.csv")
        try:
            dataset, _ = download(request, Path(folder), no_report)
        except MlopsError as error:
            assert origin in error.message
            return "refused"
        with dataset.path.open(encoding="utf-8", newline="") as file:
            arrived = list(csv.reader(file, strict=True))
        assert arrived == [["id", "text", "bad", "free"], *map(list, rows)]
        assert dataset.rows == len(rows)
        return "arrived"


def numbered(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str, str]]:
    return [(f"r{number}", *row) for number, row in enumerate(rows)]


@FIXED
@given(ROWS, FORMS)
def test_a_file_is_complete_or_refused(rows, form):
    table = numbered(rows)
    try:
        content = form.written(table)
    except UnicodeEncodeError:  # cp1252 does not have it
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given")
        path.write_bytes(PACKINGS[form.packing](content))
        result = outcome(str(path), table, "given")
    is_readable = form.packing not in ("bz2", "two") and form.encoding != "utf-16"
    if form.encoding != "cp1252" or content.isascii():
        assert result == ("arrived" if is_readable else "refused")


class Moody:
    """Serves ``body``. Each number in the list of cuts is the share of the rest after which a response ends."""

    def __init__(self) -> None:
        self.body, self.encoding, self.cuts, self.chunked, self.ranges = b"", "", [], False, True
        self.url = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        moody = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                requested = self.headers.get("Range", "") if moody.ranges else ""
                start = int(requested.removeprefix("bytes=").rstrip("-") or 0)
                body, whole = moody.body[start:], len(moody.body)
                self.send_response(206 if requested else 200)
                self.send_header("ETag", '"v1"')
                if requested:
                    self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
                if moody.encoding:
                    self.send_header("Content-Encoding", moody.encoding)
                if moody.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
                else:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                share = moody.cuts.pop(0) if moody.cuts else 1.0
                self.wfile.write(body[: int(len(body) * share)])
                self.close_connection = True

        return Handler


@pytest.fixture(scope="module")
def moody() -> Iterator[Moody]:
    server_state = Moody()
    server = ThreadingHTTPServer(("127.0.0.1", 0), server_state.handler())
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server_state.url = f"http://127.0.0.1:{server.server_port}/given"
    yield server_state
    server.shutdown()
    server.server_close()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}


@FIXED
@given(
    rows=ROWS,
    packing=st.sampled_from(["plain", "gz", "zip"]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    cuts=st.lists(st.floats(0, 0.999), max_size=7),
    chunked=st.booleans(),
    ranges=st.booleans(),
)
def test_a_download_is_complete_or_refused(moody, rows, packing, encoding, cuts, chunked, ranges):
    table = numbered(rows)
    form = Form("utf-8", "\n", False, True, False, packing)
    moody.body = ENCODINGS[encoding](PACKINGS[packing](form.written(table)))
    moody.encoding, moody.cuts, moody.chunked, moody.ranges = encoding, list(cuts), chunked, ranges
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlops_cli.data.sources.http.download.time.sleep", lambda _: None)
        result = outcome(moody.url, table, "given")
    if len(cuts) < 5:
        assert result == "arrived"
