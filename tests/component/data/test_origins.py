"""A dataset whose sources have changed."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data import origins
from mlops_cli.data.dataset import download
from mlops_cli.data.metadata import load
from mlops_cli.data.origins import SourceCheck
from mlops_cli.errors import MlopsError


def kaggle_env():
    return importlib.import_module("kagglesdk.kaggle_env")


def changed(folder: Path, *urls: str) -> list[str]:
    return SourceCheck(folder, urls).changed(10)


@pytest.mark.parametrize("head", [True, False])
def test_a_change_at_a_url_is_found(file_server, request_for, tmp_path, csv_bytes, head):
    file_server.content, file_server.head = csv_bytes(), head
    url = f"{file_server.url}/a.csv"
    first, _ = download(request_for(url), tmp_path, no_report)
    assert changed(tmp_path) == []
    file_server.content, file_server.etag = csv_bytes(60), '"two"'
    assert changed(tmp_path) == [url]
    assert download(request_for(url), tmp_path, no_report) == (first, False)
    dataset, new = download(request_for(url, refresh=True), tmp_path, no_report)
    assert (dataset.rows, new) == (60, True)
    assert load(tmp_path) == dataset
    assert changed(tmp_path) == []


def test_a_refresh_downloads_nothing_that_is_the_same(file_server, request_for, tmp_path, csv_bytes):
    file_server.content = csv_bytes()
    url = f"{file_server.url}/a.csv"
    first, _ = download(request_for(url), tmp_path, no_report)
    requests = len(file_server.seen)
    assert download(request_for(url, refresh=True), tmp_path, no_report) == (first, False)
    assert len(file_server.seen) == requests


@pytest.mark.parametrize("etag", ['"another"', ""])
def test_a_refresh_compares_the_content_in_the_end(file_server, request_for, tmp_path, csv_bytes, etag):
    file_server.content, file_server.etag = csv_bytes(), ""
    url = f"{file_server.url}/a.csv"
    first, _ = download(request_for(url), tmp_path, no_report)
    file_server.etag = etag
    second, new = download(request_for(url, refresh=True), tmp_path, no_report)
    assert (second.sha256, new) == (first.sha256, False)
    file_server.content = file_server.content.replace(b"number 7", b"number 8")
    assert download(request_for(url, refresh=True), tmp_path, no_report)[1] == (etag == "")


def test_another_length_is_a_change(file_server, request_for, tmp_path, csv_bytes):
    file_server.content, file_server.etag = csv_bytes(), ""
    download(request_for(f"{file_server.url}/a.csv"), tmp_path, no_report)
    assert changed(tmp_path) == []
    file_server.content = csv_bytes(49)
    assert changed(tmp_path) == [f"{file_server.url}/a.csv"]


@pytest.mark.parametrize("url", ["{}/a.csv?token=s3cret", "http://me:s3cret@{}/a.csv"])
def test_an_address_with_a_secret_is_requested_only_if_the_project_names_it(
    file_server, request_for, tmp_path, csv_bytes, url
):
    file_server.content = csv_bytes()
    url = url.format(file_server.url if url.startswith("{") else file_server.url.partition("//")[2])
    download(request_for(url), tmp_path, no_report)
    file_server.etag = '"two"'
    assert changed(tmp_path) == []
    assert len(changed(tmp_path, "kaggle", url)) == 1
    assert "s3cret" not in (tmp_path / "dataset.json").read_text() + str(changed(tmp_path, url))


def test_a_server_that_is_away_is_no_matter(file_server, request_for, tmp_path, csv_bytes, monkeypatch):
    monkeypatch.setattr(origins, "PATIENCE_SECONDS", 0.2)
    file_server.content = csv_bytes()
    url = f"{file_server.url}/a.csv"
    download(request_for(url), tmp_path, no_report)
    file_server.status = 500
    assert changed(tmp_path) == []
    metadata = (tmp_path / "dataset.json").read_text()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        (tmp_path / "dataset.json").write_text(
            metadata.replace(file_server.url, f"http://127.0.0.1:{mute.getsockname()[1]}")
        )
        assert SourceCheck(tmp_path, []).changed(0) == []
    (tmp_path / "dataset.json").write_text("{")
    assert changed(tmp_path) == []
    (tmp_path / "dataset.json").unlink()
    assert changed(tmp_path) == []


def test_a_refresh_needs_its_server(file_server, request_for, tmp_path, csv_bytes):
    file_server.content = csv_bytes()
    url = f"{file_server.url}/a.csv"
    first, _ = download(request_for(url), tmp_path, no_report)
    file_server.status = 404
    with pytest.raises(MlopsError, match="HTTP 404"):
        download(request_for(url, refresh=True), tmp_path, no_report)
    assert load(tmp_path) == first


@pytest.mark.parametrize("account", ["token", "user"])
def test_kaggle_gets_one_request(kaggle, request_for, tmp_path, csv_bytes, zipped, monkeypatch, account):
    if account == "user":
        monkeypatch.delenv("KAGGLE_API_TOKEN")
        monkeypatch.setenv("KAGGLE_USERNAME", "someone")
        monkeypatch.setenv("KAGGLE_KEY", "s3cret-key")
    kaggle.archive = zipped({"train.csv": csv_bytes()})
    first, _ = download(request_for("kaggle"), tmp_path, no_report)
    downloads, kaggle.listings = kaggle.downloads, []
    assert changed(tmp_path) == []
    assert [header.split()[0] for header in kaggle.listings] == [{"token": "Bearer", "user": "Basic"}[account]]
    assert download(request_for("kaggle", refresh=True), tmp_path, no_report) == (first, False)
    assert kaggle.downloads == downloads
    kaggle.created = "2026-02-01T00:00:00Z"
    assert changed(tmp_path) == ["kaggle"]
    second, new = download(request_for("kaggle", refresh=True), tmp_path, no_report)
    assert (second.sha256, new) == (first.sha256, False), "another file of the competition was changed"
    assert changed(tmp_path) == []
    kaggle.archive = zipped({"train.csv": csv_bytes(60)})
    assert changed(tmp_path) == ["kaggle"]
    assert "s3cret" not in (tmp_path / "dataset.json").read_text()


@pytest.mark.parametrize("obstacle", ["refused", "no network", "no package", "no credentials"])
def test_a_kaggle_that_does_not_answer_is_no_matter(
    kaggle, request_for, tmp_path, csv_bytes, zipped, monkeypatch, capfd, obstacle
):
    kaggle.archive = zipped({"train.csv": csv_bytes()})
    download(request_for("kaggle"), tmp_path, no_report)
    kaggle.created = "2026-02-01T00:00:00Z"
    if obstacle in ("refused", "no credentials"):
        kaggle.status = 401
    elif obstacle == "no package":
        monkeypatch.setitem(sys.modules, "kagglesdk.kaggle_http_client", None)
    else:
        monkeypatch.setitem(kaggle_env()._env_to_endpoint, kaggle_env().KaggleEnv.PROD, "http://127.0.0.1:1")
    if obstacle == "no credentials":
        monkeypatch.delenv("KAGGLE_API_TOKEN")
    assert changed(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_a_kaggle_that_hangs_delays_no_command(kaggle, request_for, tmp_path, csv_bytes, zipped, monkeypatch):
    kaggle.archive = zipped({"train.csv": csv_bytes()})
    download(request_for("kaggle"), tmp_path, no_report)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setitem(kaggle_env()._env_to_endpoint, kaggle_env().KaggleEnv.PROD, url)
        assert SourceCheck(tmp_path, []).changed(0) == []


@pytest.mark.parametrize("change", ["nothing", "touch", "content", "times kept", "replaced", "new file", "gone"])
def test_a_path_is_looked_at(request_for, tmp_path, csv_bytes, change):
    arguments, folder = tmp_path / "given", tmp_path / "data"
    arguments.mkdir()
    source = arguments / "a.csv"
    source.write_bytes(csv_bytes())
    request = request_for("given", folder=tmp_path)
    first, _ = download(request, folder, no_report)
    times = (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    other_comparison = csv_bytes().replace(b"number 7", b"number 8")
    if change == "touch":
        os.utime(source)
    elif change == "content":
        source.write_bytes(csv_bytes(60))
    elif change == "times kept":
        source.write_bytes(other_comparison)
        os.utime(source, ns=times)
    elif change == "replaced":
        (tmp_path / "other.csv").write_bytes(other_comparison)
        shutil.copystat(source, tmp_path / "other.csv")
        (tmp_path / "other.csv").replace(source)
    elif change == "new file":
        (arguments / "b.csv").write_bytes(csv_bytes(5, start=500))
    elif change == "gone":
        source.unlink()
    is_new = change not in ("nothing", "touch", "gone")
    assert changed(folder) == (["given"] if is_new else [])
    if change != "gone":
        dataset, new = download(request, folder, no_report)
        assert (new, dataset.sha256 != first.sha256) == (is_new, is_new)
        assert changed(folder) == []
