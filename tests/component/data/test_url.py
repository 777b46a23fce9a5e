from __future__ import annotations

import gzip
import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import load
from mlops_cli.data.sources.http.content_encoding import codings_of
from mlops_cli.errors import ConfigurationError, MlopsError
from tests.component.data.conftest import files_in

ROOT = Path(__file__).parents[3]


def test_downloads_and_reports_the_total(file_server, request_for, tmp_path, csv_bytes):
    file_server.content = csv_bytes()
    seen = []
    url = f"{file_server.url}/train.csv?key=s3cret"
    dataset, _ = download(request_for(url), tmp_path, lambda *progress: seen.append(progress))
    size = len(file_server.content)
    assert ("download", size, size, "B") in seen
    assert dataset.source == f"{file_server.url}/train.csv?…"
    assert "s3cret" not in (tmp_path / "dataset.json").read_text()


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress])
def test_the_format_is_recognized_by_the_content(file_server, request_for, tmp_path, csv_bytes, pack):
    file_server.content = pack(csv_bytes())
    assert download(request_for(f"{file_server.url}/get"), tmp_path, no_report)[0].rows == 50


def test_the_same_again_needs_no_network(file_server, request_for, tmp_path, csv_bytes):
    file_server.content = csv_bytes()
    request = request_for(f"{file_server.url}/a.csv")
    first, _ = download(request, tmp_path, no_report)
    requests = len(file_server.seen)
    assert download(request, tmp_path, no_report) == (first, False)
    assert len(file_server.seen) == requests


def test_a_broken_download_continues_where_it_stopped(file_server, request_for, tmp_path, csv_bytes):
    file_server.content = csv_bytes(2000)
    file_server.close_after = [1000, 500]
    assert download(request_for(f"{file_server.url}/a.csv"), tmp_path, no_report)[0].rows == 2000
    ranges = [headers.get("range") for _, headers in file_server.seen]
    assert ranges == [None, "bytes=1000-", "bytes=1500-"]
    assert file_server.seen[1][1]["if-range"] == '"one"'


def test_a_server_without_ranges_starts_again(file_server, request_for, tmp_path, csv_bytes):
    file_server.content, file_server.ranges = csv_bytes(2000), False
    file_server.close_after = [1000]
    assert download(request_for(f"{file_server.url}/a.csv"), tmp_path, no_report)[0].rows == 2000


def test_a_file_that_changed_meanwhile_is_never_mixed(file_server, request_for, tmp_path, csv_bytes, monkeypatch):
    monkeypatch.setattr("mlops_cli.data.sources.http.download.ATTEMPTS", 1)
    request = request_for(f"{file_server.url}/a.csv")
    file_server.content, file_server.close_after = csv_bytes(2000), [5000]
    with pytest.raises(MlopsError, match="stopped after 5,000 bytes: the connection was lost") as caught:
        download(request, tmp_path, no_report)
    assert "continues from there" in caught.value.hint
    assert files_in(tmp_path)
    file_server.content, file_server.etag = csv_bytes(1500, start=7), '"two"'
    dataset, _ = download(request, tmp_path, no_report)
    assert dataset.rows == 1500
    assert b"r6," not in dataset.path.read_bytes()


KILLED = """
import sys
from pathlib import Path
from mlops_cli.data.dataset import download
from mlops_cli.data.request import DataRequest
from mlops_cli.data.tables.schema import Schema
from mlops_cli.core.progress import no_report
labels = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
schema = Schema({"id": "id", "comment_text": "text"} | dict.fromkeys(labels, "label"))
request = DataRequest([sys.argv[1]], schema, competition="toxic", file="train.csv")
download(request, Path(sys.argv[2]), no_report)
"""


def kill_when(arguments: list[str], folder: Path, reached: int) -> None:
    """Run a download and kill it as soon as its partial folder has this number of bytes."""
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments], cwd=ROOT) as process:
        while sum(path.stat().st_size for path in files_in(folder) if "partial" in path.parts) < reached:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -9


def test_a_killed_download_continues_where_it_stopped(file_server, request_for, tmp_path, csv_bytes):
    file_server.content, file_server.stall_after = csv_bytes(20_000), 300_000
    url = f"{file_server.url}/a.csv"
    kill_when([url, str(tmp_path)], tmp_path, 250_000)
    assert load(tmp_path) is None
    file_server.stall_after = None
    file_server.released.set()
    assert download(request_for(url), tmp_path, no_report)[0].rows == 20_000
    start = int(file_server.seen[-1][1]["range"].removeprefix("bytes=").rstrip("-"))
    assert start >= 250_000


def test_a_killed_acquisition_leaves_the_former_dataset(request_for, tmp_path, csv_bytes):
    source, folder = tmp_path / "source.csv", tmp_path / "data"
    source.write_bytes(csv_bytes(100))
    before, _ = download(request_for(source), folder, no_report)
    source.write_bytes(csv_bytes(1_000_000))
    kill_when([str(source), str(folder)], folder, 1_000_000)
    assert load(folder) == before
    source.write_bytes(csv_bytes(200))
    second, new = download(request_for(source), folder, no_report)
    assert (second.rows, new) == (200, True)
    assert not (folder / "partial").exists()


def test_follows_redirects(file_server, request_for, tmp_path, csv_bytes):
    file_server.content, file_server.redirect_from = csv_bytes(), "/here"
    assert download(request_for(f"{file_server.url}/here"), tmp_path, no_report)[0].rows == 50


def test_the_password_in_an_address_is_used_and_never_shown(file_server, request_for, tmp_path, csv_bytes):
    file_server.content, file_server.password = csv_bytes(), "Basic bWU6czNjcmV0"
    url = file_server.url.replace("//", "//me:s3cret@") + "/a.csv"
    dataset, _ = download(request_for(url), tmp_path, no_report)
    assert dataset.source == f"{file_server.url}/a.csv"
    file_server.password = "another"
    with pytest.raises(MlopsError, match="HTTP 401") as caught:
        download(request_for(url, file="other.csv"), tmp_path, no_report)
    assert "s3cret" not in str(caught.value) + caught.value.hint
    assert "s3cret" not in (tmp_path / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("status", "words"), [(403, "not allowed"), (404, "no such file"), (500, "server has a problem"), (418, "refuses")]
)
def test_names_http_errors(file_server, request_for, tmp_path, status, words):
    file_server.status = status
    with pytest.raises(MlopsError, match=f"HTTP {status}, .*{words}"):
        download(request_for(f"{file_server.url}/a.csv"), tmp_path, no_report)


def test_names_an_unreachable_server(request_for, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.csv"
        with pytest.raises(MlopsError, match="cannot be reached: the connection was refused"):
            download(request_for(url), tmp_path, no_report)


def test_names_a_server_that_does_not_answer(request_for, tmp_path, monkeypatch):
    monkeypatch.setattr("mlops_cli.data.sources.http.client.READ_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/a.csv"
        with pytest.raises(MlopsError, match="did not answer in time"):
            download(request_for(url), tmp_path, no_report)


def test_checks_the_sha256_of_the_downloaded_file(file_server, request_for, tmp_path, csv_bytes):
    file_server.content = csv_bytes()
    url = f"{file_server.url}/a.csv"
    right = hashlib.sha256(file_server.content).hexdigest()
    with pytest.raises(MlopsError, match=f"its sha256 is {right}, not {'0' * 64}"):
        download(request_for(url, sha256="0" * 64), tmp_path, no_report)
    assert load(tmp_path) is None
    assert download(request_for(url, sha256=right.upper()), tmp_path, no_report)[0].rows == 50


def test_a_web_page_is_not_data(file_server, request_for, tmp_path):
    file_server.content = b"<!DOCTYPE html><p>please log in</p>"
    with pytest.raises(MlopsError, match="is a web page"):
        download(request_for(f"{file_server.url}/a.csv"), tmp_path, no_report)


def test_an_address_without_a_host(request_for, tmp_path):
    with pytest.raises(ConfigurationError, match="not a web address"):
        download(request_for("http:///a.csv"), tmp_path, no_report)


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        ("", []),
        ("identity", []),
        ("aws-chunked", []),
        ("UTF-8", []),
        ("gzip, aws-chunked", ["gzip"]),
        ("x-gzip", ["x-gzip"]),
        ("deflate, gzip", ["deflate", "gzip"]),
    ],
)
def test_the_usual_headers_of_plain_content_are_no_compression(header, codings):
    assert codings_of(header, "x.csv") == codings


@pytest.mark.parametrize("coding", ["br", "zstd", "compress"])
def test_another_coding_is_named(coding):
    with pytest.raises(MlopsError, match=f"Content-Encoding '{coding}', which cannot be undone"):
        codings_of(f"gzip, {coding}", "x.csv")
