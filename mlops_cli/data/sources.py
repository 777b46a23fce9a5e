"""Files and web addresses as sources: which tables a path holds, and downloads that go on where they stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from mlops_cli.data.archive import Table, is_table, tables
from mlops_cli.digest import digest_file
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.progress import Report

if TYPE_CHECKING:
    import urllib3

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
ATTEMPTS = 5
_CHUNK = 1 << 16
_REPORT_SECONDS = 0.1


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _validator(response: urllib3.BaseHTTPResponse) -> str:
    """What names the version of a file; a weak ETag does not promise the same bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def shown_url(url: str) -> str:
    """A URL without what may be secret: user, password, and the values of its query."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(
            f"The address {url!r} is not valid: {error}.", "Check it, then repeat the command"
        ) from None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def path_tables(source: str, folder: Path, wanted: str, scratch: Path) -> list[Table]:
    """The tables of a file, or of all files in a folder in the order of their names."""
    tables_: list[Table] = []
    for number, path in enumerate(path_files(source, folder)):
        place = str(path) if (folder / source).is_dir() else source
        tables_ += tables(path, place, wanted, scratch / str(number))
    return tables_


def path_files(source: str, folder: Path) -> list[Path]:
    """The files that a path, relative to ``folder``, stands for; MlopsError if there are none."""
    path = folder / Path(source).expanduser()
    if path.is_dir():
        return _folder_files(path, source)
    if not path.exists():
        raise MlopsError(
            f"there is no file {source}",
            "give --source an existing .csv, .csv.gz, .zip or folder, a URL, kaggle or sample",
        )
    if not path.is_file():
        raise MlopsError(f"{source} is neither a file nor a folder", "give another --source")
    return [path]


_UNREAD = (".csv.bz2", ".csv.xz", ".csv.zst", ".tsv", ".tsv.gz", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_ALSO_UNREAD = (".parquet", ".xlsx", ".xls", ".gz")


def _folder_files(folder: Path, source: str) -> list[Path]:
    """The tables of a folder. Raise MlopsError if there are none, and for what looks like one and would be left out."""
    children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    files = [child for child in children if is_table(child.name) and child.is_file()]
    if not files:
        raise MlopsError(f"the folder {source} holds no .csv, .csv.gz or .zip", "give another --source")
    left_out = [child for child in children if child not in files and _looks_like_data(child)]
    if left_out:
        raise MlopsError(
            f"the folder {source} also holds {left_out[0].name}, which is not read",
            "unpack it or move it out of the folder, or give each file with a --source of its own",
        )
    return files


def _looks_like_data(path: Path) -> bool:
    if path.is_dir():
        return any(is_table(child.name) and not child.name.startswith(".") for child in path.iterdir())
    return path.name.lower().endswith((*_UNREAD, *_ALSO_UNREAD)) or is_table(path.name)


@dataclass(frozen=True)
class Remote:
    """Where to download from: ``name`` is what to call it in messages, it never holds a secret."""

    url: str
    name: str
    headers: Mapping[str, str]

    @classmethod
    def from_url(cls, url: str) -> Remote:
        """A URL of the user's, whose user:password@ becomes a header."""
        from urllib3.util import make_headers

        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigurationError(f"{shown_url(url)} is not a web address", "give --source a full URL")
        host = parts.netloc.rpartition("@")[2]
        headers = {}
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = make_headers(basic_auth=credentials)
        bare = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        return cls(bare, shown_url(url), headers)

    @property
    def file_name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name or "download"


class Download:
    """A download into ``folder`` that may stop at any moment and goes on from there, if it is still the same."""

    def __init__(self, remote: Remote, folder: Path, report: Report) -> None:
        self._remote, self._report = remote, report
        self._folder = folder
        self._path = folder / "content"
        self._facts = folder / "content.json"
        self._last_report = 0.0

    def run(self) -> Path:
        """Where the whole file is. MlopsError with the reason if it could not be had."""
        import urllib3

        self._folder.mkdir(parents=True, exist_ok=True)
        pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(connect=1, read=1, redirect=10, status=2, status_forcelist=(429, 502, 503, 504),
                                  backoff_factor=0.3, raise_on_status=False, respect_retry_after_header=False),
        )  # fmt: skip
        with pool:
            for attempt in range(ATTEMPTS):
                before = self._size()
                reason = self._attempt(pool)
                if not reason:
                    return self._path
                if self._size() <= before and attempt < ATTEMPTS - 1:
                    time.sleep(min(0.2 * 2**attempt, 5))
        raise MlopsError(
            f"the download of {self._remote.name} broke off after {self._size():,} bytes: {reason}",
            "repeat the command: it goes on from there",
        )

    def _attempt(self, pool: urllib3.PoolManager) -> str:
        """Empty when the file is whole, else why another attempt is needed and worth it."""
        from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

        headers = (
            {"Accept-Encoding": "identity", "User-Agent": "mlops-cli"} | dict(self._remote.headers) | self._range()
        )
        try:
            # The length is enforced here, after what did arrive has been written.
            response = pool.request(
                "GET", self._remote.url, headers=headers, preload_content=False, enforce_content_length=False
            )
        except HTTPError as error:
            raise _unreachable(self._remote.name, error) from None
        try:
            return "" if self._receive(response) else "the connection was lost"
        except (ProtocolError, ReadTimeoutError) as error:
            return _reason(error)
        finally:
            response.close()

    def _range(self) -> dict[str, str]:
        """Headers that ask for the rest, if what is here has a name (ETag or date) that the server knows it by."""
        size, facts = self._size(), self._load_facts()
        if not size or facts.get("url") != _digest(self._remote) or not facts.get("validator"):
            return {}
        return {"Range": f"bytes={size}-", "If-Range": str(facts["validator"])}

    def _receive(self, response: urllib3.BaseHTTPResponse) -> bool:
        size = self._size()
        if response.status == 416 and self._load_facts().get("total") == size:
            return True
        if response.status == 416:
            self._forget()
            return False
        if response.status == 206 and not self._is_same(response):
            self._forget()
            return False
        start = size if response.status == 206 and _content_start(response) == size else 0
        if response.status not in (200, 206) or (response.status == 206 and start != size):
            raise _refused(self._remote.name, response.status)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        self._note(response, total)
        self._write(response, start, total)
        if total is not None and self._size() < total:
            return False
        self._note(response, self._size())
        return True

    def _write(self, response: urllib3.BaseHTTPResponse, start: int, total: int | None) -> None:
        done = start
        with self._path.open("r+b" if start else "wb") as out:
            out.seek(start)
            self._report("download", done, total, "B")
            for chunk in response.stream(_CHUNK):
                out.write(chunk)
                done += len(chunk)
                if time.monotonic() - self._last_report > _REPORT_SECONDS:
                    self._last_report = time.monotonic()
                    self._report("download", done, total, "B")
        self._report("download", done, total, "B")

    def _is_same(self, response: urllib3.BaseHTTPResponse) -> bool:
        """Whether a partial answer is of the version whose beginning is here: not every server minds If-Range."""
        named = _validator(response)
        return not named or named == self._load_facts().get("validator")

    def _note(self, response: urllib3.BaseHTTPResponse, total: int | None) -> None:
        facts = {"url": _digest(self._remote), "validator": _validator(response), "total": total}
        self._facts.write_text(json.dumps(facts), encoding="utf-8")

    def _load_facts(self) -> dict[str, Any]:
        try:
            facts = json.loads(self._facts.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _forget(self) -> None:
        self._path.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)


def verify(path: Path, expected: str, name: str) -> None:
    """MlopsError unless the file has this sha256."""
    found = digest_file(path)
    if found != expected.lower():
        raise MlopsError(
            f"{name} is not the expected file: its sha256 is {found}, not {expected.lower()}",
            "check the address and --sha256, then repeat the command",
        )


def _digest(remote: Remote) -> str:
    """Which address a partial download came from, without writing the address (or its secrets) down.

    The query is left out: signed addresses change with every request, the validator tells the content.
    """
    parts = urlsplit(remote.url)
    return hashlib.sha256(f"{parts.scheme}://{parts.netloc}{parts.path}".encode()).hexdigest()


def _content_start(response: urllib3.BaseHTTPResponse) -> int:
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first = span.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _reason(error: Exception) -> str:
    text = repr(error)
    if "NameResolution" in text or "getaddrinfo" in text or "Name or service" in text:
        return "the name of the server could not be resolved"
    if "Timeout" in text or "timed out" in text:
        return "the server did not answer in time"
    if "CERTIFICATE" in text or "SSL" in text:
        return "its certificate could not be verified"
    if "refused" in text:
        return "the connection was refused"
    if "redirect" in text:
        return "too many redirects"
    return "the connection was lost"


def _unreachable(name: str, error: Exception) -> MlopsError:
    return MlopsError(
        f"{name} cannot be reached: {_reason(error)}", "check the address and the network, then repeat the command"
    )


_STATUS_REASONS = {
    401: ("it asks for a user name and a password", "give them in the address, as https://user:password@host/..."),
    403: ("access is not allowed", "check that you may read it"),
    404: ("there is no such file", "check the address"),
    410: ("it is no longer there", "check the address"),
    429: ("too many requests", "wait a while, then repeat the command"),
}


def _refused(name: str, status: int) -> MlopsError:
    default = (
        ("the server has a problem", "repeat the command later")
        if status >= 500
        else ("the server refuses", "check it")
    )
    reason, hint = _STATUS_REASONS.get(status, default)
    return MlopsError(f"{name} cannot be downloaded: HTTP {status}, {reason}", hint)
