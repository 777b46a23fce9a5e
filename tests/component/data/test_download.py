"""Downloads from servers that compress, disconnect, change the file, or send wrong headers."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import threading
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.compression import compressed
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import load
from mlops_cli.data.sources.http.client import RedirectGuard
from mlops_cli.data.sources.http.download import Download
from mlops_cli.data.sources.http.urls import AddressScope, address_scope, is_same_site, redirected, shown_url
from mlops_cli.errors import ConfigurationError, MlopsError
from tests.component.data.conftest import files_in

SETTLED = "Sun, 29 Nov 2020 10:00:00 GMT"


@dataclass
class Reply:
    """``sent``: the number of bytes of the body before the connection ends."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    sent: int | None = None
    chunked: bool = False
    has_length: bool = True


class Scripted:
    """Answers each GET with ``answer``, a function of the request's number and headers."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.answer: Callable[[int, dict[str, str]], Reply] = lambda *_: Reply(b"")
        self.url = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append(headers)
                reply = server.answer(len(server.seen) - 1, headers)
                self.send_response(reply.status)
                length = {"Content-Length": str(len(reply.body))} if reply.has_length and not reply.chunked else {}
                framing = {"Transfer-Encoding": "chunked"} if reply.chunked else length
                for name, value in {**framing, **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                wire = chunks(reply.body) if reply.chunked else reply.body
                self.wfile.write(wire[: reply.sent])
                self.close_connection = True

        return Handler


def chunks(body: bytes, size: int = 1000) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()
    server = ThreadingHTTPServer(("127.0.0.1", 0), script.handler())
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    script.url = f"http://127.0.0.1:{server.server_port}/data.csv"
    yield script
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_cli.data.sources.http.download.time.sleep", lambda _: None)


def refusal(request_for, scripted, folder, **settings) -> MlopsError:
    with pytest.raises(MlopsError) as caught:
        download(request_for(scripted.url, **settings), folder, no_report)
    assert load(folder) is None
    return caught.value


def ranged(content: bytes, headers: dict[str, str], extra: dict[str, str], **settings: object) -> Reply:
    """Return the rest of the content if the request has a range."""
    if "range" not in headers:
        return Reply(content, extra, **settings)
    start = int(headers["range"].removeprefix("bytes=").rstrip("-"))
    range_headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return Reply(content[start:], {**range_headers, **extra}, 206, **settings)


def deflated(content: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(content) + packer.flush()


ENCODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "identity": bytes,
    "deflate": lambda content: deflated(content, 15),
    "Deflate": lambda content: deflated(content, -15),
    "gzip, gzip": lambda content: gzip.compress(gzip.compress(content)),
    "deflate,gzip": lambda content: gzip.compress(deflated(content, 15)),
    "identity, gzip": gzip.compress,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("chunked", [False, True])
def test_encodings_are_undone(request_for, scripted, tmp_path, csv_bytes, encoding, pack, chunked):
    body = ENCODINGS[encoding](pack(csv_bytes()))
    scripted.answer = lambda *_: Reply(body, {"Content-Encoding": encoding}, chunked=chunked)
    assert download(request_for(scripted.url), tmp_path, no_report)[0].rows == 50
    assert scripted.seen[0]["accept-encoding"] == "identity"
    assert {path.name for path in files_in(tmp_path)} == {"dataset.csv", "dataset.json"}


def test_an_encoding_that_the_server_has_undone_itself(request_for, scripted, tmp_path, csv_bytes):
    scripted.answer = lambda *_: Reply(csv_bytes(), {"Content-Encoding": "gzip"})
    assert download(request_for(scripted.url), tmp_path, no_report)[0].rows == 50


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "x-unknown"])
def test_an_encoding_that_cannot_be_undone_is_named(request_for, scripted, tmp_path, encoding):
    scripted.answer = lambda *_: Reply(b"...", {"Content-Encoding": encoding})
    assert encoding.rpartition(" ")[2] in refusal(request_for, scripted, tmp_path).message


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_connection_that_is_cut_is_never_a_shorter_table(
    request_for, scripted, tmp_path, csv_bytes, encoding, chunked
):
    whole = ENCODINGS[encoding](csv_bytes(1000))
    scripted.answer = lambda *_: Reply(
        whole, {"Content-Encoding": encoding}, sent=len(whole) * 9 // 10, chunked=chunked
    )
    assert "stopped after" in refusal(request_for, scripted, tmp_path).message
    assert len(scripted.seen) == 5


def test_an_encoded_download_continues_where_it_stopped(request_for, scripted, tmp_path, csv_bytes):
    packed, figures = gzip.compress(csv_bytes(2000)), []
    extra = {"Content-Encoding": "gzip", "ETag": '"v1"'}
    scripted.answer = lambda number, headers: ranged(
        packed, headers, extra, sent=len(packed) * 3 // 10 if number == 0 else None
    )
    dataset, _ = download(request_for(scripted.url), tmp_path, lambda *figure: figures.append(figure))
    assert (dataset.rows, len(scripted.seen)) == (2000, 2)
    assert all(done <= total == len(packed) for phase, done, total, _ in figures if phase == "download")


def test_damage_is_named_and_forgotten(request_for, scripted, tmp_path, csv_bytes):
    packed = gzip.compress(csv_bytes(500))
    bodies = [packed[:300] + b"\0\0\0\0" + packed[304:], packed[:-6], packed + b"more", packed]
    scripted.answer = lambda *_: Reply(bodies[0], {"Content-Encoding": "gzip", "ETag": '"v1"'})
    while len(bodies) > 1:
        assert "is damaged or cut short" in refusal(request_for, scripted, tmp_path).message
        assert files_in(tmp_path) == []
        bodies.pop(0)
    assert download(request_for(scripted.url), tmp_path, no_report)[0].rows == 500


def test_an_encoded_bomb_is_refused(request_for, scripted, tmp_path, monkeypatch, csv_bytes):
    monkeypatch.setattr(compressed, "_RATIO_MATTERS_FROM", 1 << 18)
    bomb = gzip.compress(csv_bytes() + b"\n" * (64 << 20))
    scripted.answer = lambda *_: Reply(bomb, {"Content-Encoding": "gzip"})
    assert "unpacks to more than 200 times" in refusal(request_for, scripted, tmp_path).message
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("length", ["-5", "abc", "", "1e3", "10, 20", "0x10"])
def test_a_length_that_is_none_is_refused(request_for, scripted, tmp_path, csv_bytes, length):
    scripted.answer = lambda *_: Reply(csv_bytes(), {"Content-Length": length}, has_length=False)
    refusal(request_for, scripted, tmp_path)


def test_a_download_without_a_length_is_reported(request_for, scripted, tmp_path, csv_bytes):
    scripted.answer = lambda *_: Reply(csv_bytes(), has_length=False)
    dataset, _ = download(request_for(scripted.url), tmp_path, no_report)
    assert dataset.rows == 50
    assert "was sent without its length" in dataset.remarks[0]
    assert load(tmp_path) == dataset


def test_a_length_that_is_too_long_is_a_connection_that_was_lost(request_for, scripted, tmp_path, csv_bytes):
    scripted.answer = lambda *_: Reply(csv_bytes(), {"Content-Length": "99999"}, has_length=False)
    assert "stopped after" in refusal(request_for, scripted, tmp_path).message


CHANGED = {
    "no validator": {"ETag": None},
    "another ETag": {"ETag": '"v2"'},
    "a weak ETag": {"ETag": 'W/"v1"'},
    "no place": {"Content-Range": None},
    "another place": {"Content-Range": "bytes 0-{last}/{total}"},
    "a place further on": {"Content-Range": "bytes {further}-{last}/{total}"},
    "another total": {"Content-Range": "bytes {start}-{last}/{longer}"},
    "another end": {"Content-Range": "bytes {start}-{further}/{total}"},
    "another unit": {"Content-Range": "rows {start}-{last}/{total}"},
    "another encoding": {"Content-Encoding": "gzip"},
}


@pytest.mark.parametrize("change", CHANGED)
def test_two_versions_are_never_mixed(request_for, scripted, tmp_path, csv_bytes, change):
    first, second = csv_bytes(400), csv_bytes(400).replace(b"number", b"NUMBER")

    def answer(number: int, headers: dict[str, str]) -> Reply:
        if number == 0:
            return Reply(first, {"ETag": '"v1"'}, sent=5000)
        reply = ranged(second, headers, {"ETag": '"v1"'})
        if reply.status == 206:
            total = len(second)
            positions = {"start": 5000, "further": 5001, "last": total - 1, "total": total, "longer": total + 9}
            for name, value in CHANGED[change].items():
                reply.headers.pop(name, None)
                if value is not None:
                    reply.headers[name] = value.format(**positions)
        return reply

    scripted.answer = answer
    dataset, _ = download(request_for(scripted.url), tmp_path, no_report)
    assert dataset.rows == 400
    assert b"number" not in dataset.path.read_bytes()
    assert [headers.get("range") for headers in scripted.seen] == [None, "bytes=5000-", None]


@pytest.mark.parametrize(
    ("named", "resumed"),
    [
        ({"Last-Modified": SETTLED}, True),
        ({"Last-Modified": SETTLED, "ETag": '"v1"'}, True),
        ({"Last-Modified": SETTLED, "ETag": 'W/"v1"'}, False),
        ({"Last-Modified": "Sun, 29 Nov 2099 10:00:00 GMT"}, False),
        ({"Last-Modified": "yesterday"}, False),
        ({}, False),
    ],
)
def test_a_download_continues_only_with_a_strong_validator(request_for, scripted, tmp_path, csv_bytes, named, resumed):
    content = csv_bytes(400)
    scripted.answer = lambda number, headers: ranged(content, headers, named, sent=5000 if number == 0 else None)
    assert download(request_for(scripted.url), tmp_path, no_report)[0].rows == 400
    assert [headers.get("range") for headers in scripted.seen] == [None, "bytes=5000-" if resumed else None]
    assert ("if-range" in scripted.seen[1]) == resumed


def test_a_part_that_is_shorter_than_the_rest_is_not_the_end(request_for, scripted, tmp_path, csv_bytes):
    content = csv_bytes(400)

    def answer(number: int, headers: dict[str, str]) -> Reply:
        if number == 0:
            return Reply(content, {"ETag": '"v1"'}, sent=5000)
        start = int(headers["range"].removeprefix("bytes=").rstrip("-"))
        part = content[start : start + 8000]
        content_range = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        return Reply(part, {"ETag": '"v1"', "Content-Range": content_range}, 206)

    scripted.answer = answer
    assert download(request_for(scripted.url), tmp_path, no_report)[0].rows == 400


def test_an_unrequested_range_is_refused(request_for, scripted, tmp_path, csv_bytes):
    scripted.answer = lambda *_: Reply(csv_bytes(), {"Content-Range": "bytes 0-99/100"}, 206)
    assert "HTTP 206" in refusal(request_for, scripted, tmp_path).message


def test_a_complete_download_is_used_only_if_the_server_still_has_this_file(
    request_for, scripted, tmp_path, csv_bytes, monkeypatch
):
    """The command was killed after the last byte.

    A second one downloads nothing, unless the server's file has changed.
    """
    content = csv_bytes(100)
    scripted.answer = lambda _, headers: ranged(content, headers, {"ETag": f'"{len(content)}"'})
    with monkeypatch.context() as patch:
        patch.setattr("mlops_cli.data.dataset.path_tables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download(request_for(scripted.url), tmp_path, no_report)
    kept = [path.name for path in files_in(tmp_path)]
    assert "content" in kept
    assert download(request_for(scripted.url), tmp_path, no_report)[0].rows == 100
    assert scripted.seen[1]["range"] == f"bytes={len(content) - 1}-"


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_note_of_a_partial_file_is_of_the_same_version(request_for, scripted, tmp_path, csv_bytes, monkeypatch):
    scripted.answer = lambda *_: Reply(csv_bytes(400), {"ETag": '"v1"'}, sent=5000)
    monkeypatch.setattr("mlops_cli.data.sources.http.download.ATTEMPTS", 1)
    refusal(request_for, scripted, tmp_path)
    scripted.answer = lambda *_: Reply(csv_bytes(400, start=7), {"ETag": '"v2"'})
    monkeypatch.setattr(Download, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(request_for(scripted.url), tmp_path, no_report)
    assert [path.name for path in files_in(tmp_path)] == ["content.json"]


@pytest.mark.parametrize("chunked", [False, True])
def test_no_more_is_downloaded_than_is_allowed(request_for, scripted, tmp_path, csv_bytes, chunked):
    scripted.answer = lambda *_: Reply(csv_bytes(5000), chunked=chunked)
    error = refusal(request_for, scripted, tmp_path, most_bytes=100_000)
    assert "at most 100,000 are allowed" in error.message
    assert "MAX_DOWNLOAD_GB" in error.hint
    assert files_in(tmp_path) == []
    assert len(scripted.seen) == 1


def test_the_disk_is_never_filled(request_for, scripted, tmp_path, csv_bytes, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(70 * 2**20))
    scripted.answer = lambda *_: Reply(csv_bytes(10), {"Content-Length": str(100 * 2**20)}, has_length=False)
    error = refusal(request_for, scripted, tmp_path)
    assert "does not fit on the disk: 0.10 GB are missing, 0.07 GB are free" in error.message


@pytest.mark.parametrize("of", ["sent", "decoded"])
def test_the_sha256_may_be_that_of_the_file_as_sent_or_decoded(request_for, scripted, tmp_path, csv_bytes, of):
    packed = gzip.compress(csv_bytes())
    scripted.answer = lambda *_: Reply(packed, {"Content-Encoding": "gzip"})
    digest = hashlib.sha256(packed if of == "sent" else csv_bytes()).hexdigest()
    assert download(request_for(scripted.url, sha256=digest), tmp_path, no_report)[0].rows == 50


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://:80/x", "http://[::1/x", "data:,x"]
)
def test_a_redirect_leads_to_a_web_address(request_for, scripted, tmp_path, location):
    scripted.answer = lambda *_: Reply(b"", {"Location": location}, 302)
    assert "redirects to" in refusal(request_for, scripted, tmp_path).message
    assert len(scripted.seen) == 1


def test_a_redirect_from_https_to_http_is_not_followed():
    with pytest.raises(MlopsError, match="redirects from https to http"):
        redirected("https://a.example/x", "http://a.example/x", "it")
    assert redirected("http://a.example/x/y", "../z?b=1", "it") == "http://a.example/z?b=1"
    assert redirected("http://a.example/x", "https://u:p@b.example/", "it") == "https://b.example/"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_the_metadata_of_the_cloud_is_refused(request_for, scripted, tmp_path, status):
    scripted.answer = lambda *_: Reply(b"", {"Location": "http://169.254.169.254/latest/"}, status)
    assert "redirects to 169.254.169.254" in refusal(request_for, scripted, tmp_path).message


def test_redirects_have_an_end(request_for, scripted, tmp_path):
    scripted.answer = lambda *_: Reply(b"", {"Location": "/data.csv"}, 302)
    assert "too many redirects" in refusal(request_for, scripted, tmp_path).message
    assert len(scripted.seen) == 11


REACHES = {
    "93.184.216.34": AddressScope.PUBLIC,
    "2606:4700::1111": AddressScope.PUBLIC,
    "10.1.2.3": AddressScope.PRIVATE,
    "192.168.0.1": AddressScope.PRIVATE,
    "172.16.0.1": AddressScope.PRIVATE,
    "100.64.0.1": AddressScope.PRIVATE,
    "fd12::1": AddressScope.PRIVATE,
    "127.0.0.1": AddressScope.LOOPBACK,
    "127.9.9.9": AddressScope.LOOPBACK,
    "::1": AddressScope.LOOPBACK,
    "0.0.0.0": AddressScope.LOOPBACK,
    "::": AddressScope.LOOPBACK,
    "::ffff:127.0.0.1": AddressScope.LOOPBACK,
    "64:ff9b::7f00:1": AddressScope.LOOPBACK,
    "169.254.169.254": AddressScope.METADATA,
    "::ffff:169.254.169.254": AddressScope.METADATA,
    "fe80::1%eth0": AddressScope.METADATA,
    "fd00:ec2::254": AddressScope.METADATA,
    "100.100.100.200": AddressScope.METADATA,
    "168.63.129.16": AddressScope.METADATA,
}


@pytest.mark.parametrize("address", REACHES)
def test_a_redirect_never_leads_nearer_to_this_machine(address):
    assert address_scope(address) == REACHES[address]
    for first in ("93.184.216.34", "10.1.2.3", "127.0.0.1"):
        guard = RedirectGuard("it")
        guard.check_name("name.invalid", 80)
        guard.check_peer(first)
        guard.follow()
        if address_scope(address) > address_scope(first):
            with pytest.raises(MlopsError, match="not followed"):
                guard.check_name(address, 80)
            with pytest.raises(MlopsError, match="not followed"):
                guard.check_peer(address)
        else:
            guard.check_peer(address)


def test_a_password_stays_with_its_server(request_for, scripted, tmp_path, csv_bytes, file_server):
    """A redirect to another port is one to another server."""
    file_server.content = csv_bytes()
    scripted.answer = lambda number, _: Reply(b"", {"Location": "/again" if number == 0 else file_server.url}, 302)
    url = scripted.url.replace("//", "//me:s3cret@")
    assert download(request_for(url), tmp_path, no_report)[0].rows == 50
    assert ["authorization" in headers for headers in scripted.seen] == [True, True]
    assert ["authorization" in headers for _, headers in file_server.seen] == [False]


def test_the_definition_of_the_same_server():
    assert is_same_site("http://a.example/x", "https://a.example/y")
    assert is_same_site("https://a.example/x", "https://A.example:443/y")
    assert not is_same_site("https://a.example/x", "https://b.example/x")
    assert not is_same_site("http://a.example:8080/x", "https://a.example/x")


@pytest.mark.parametrize("url", ["https://[::1/x", "http://u:s3cret@[::1/x?k=s3cret", "http://a.example:99999/x"])
def test_an_address_that_is_none_is_one_line(request_for, tmp_path, url):
    with pytest.raises(ConfigurationError, match="is not valid") as caught:
        download(request_for(url), tmp_path, no_report)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        shown_url(url)
