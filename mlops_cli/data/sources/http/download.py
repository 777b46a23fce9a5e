"""A download that may be interrupted at any time. It continues later if the server's file is unchanged."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.http.client import Client, network_reason, refused
from mlops_cli.data.sources.http.content_encoding import codings_of, decode
from mlops_cli.data.sources.http.response_head import Answer
from mlops_cli.data.sources.http.urls import Remote
from mlops_cli.errors import MlopsError
from mlops_cli.files.json_text import parse_json

if TYPE_CHECKING:
    import urllib3

ATTEMPTS = 5
GIGABYTE = 10**9
MOST_BYTES = 20 * GIGABYTE
# A full disk would harm more than this command.
SPARE_BYTES = 64 * 2**20
_CHUNK = 1 << 16
_REPORT_SECONDS = 0.1


@dataclass(frozen=True)
class PartialDownload:
    """The metadata of a partial file: address, version, encoding."""

    address: str
    validator: str
    total: int | None
    encoding: str


class Download:
    """A download into ``folder``, up to a size limit."""

    def __init__(self, remote: Remote, folder: Path, report: Report, most: int = MOST_BYTES) -> None:
        self._remote, self._report, self._most = remote, report, most
        self._folder = folder
        self._path = folder / "content"
        self._note_path = folder / "content.json"
        self._last_report = 0.0
        self.version: Answer | None = None
        self.is_length_known = True

    def run(self) -> Path:
        """Return the path of the complete file. Raise MlopsError with the reason of a failure."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with Client(self._remote) as client:
            for attempt in range(ATTEMPTS):
                before = self._size()
                reason = self._attempt(client)
                if not reason:
                    return self._decoded()
                if self._size() <= before and attempt < ATTEMPTS - 1:
                    time.sleep(min(0.2 * 2**attempt, 5))
        raise MlopsError(
            f"the download of {self._remote.name} stopped after {self._size():,} bytes: {reason}",
            "repeat the command: it continues from there",
        )

    def _attempt(self, client: Client) -> str:
        """Return "" if the file is complete, otherwise the reason for another attempt."""
        from urllib3.exceptions import HTTPError

        partial = self._read_partial()
        start = self._resumed_at(partial)
        headers = {"Range": f"bytes={start}-", "If-Range": partial.validator} if partial and start else {}
        response = client.request("GET", headers)
        try:
            answer = Answer.of(response, self._remote.name, client.address)
            return self._receive(response, answer, partial, start)
        except HTTPError as error:
            return network_reason(error)
        finally:
            response.close()

    def _receive(
        self, response: urllib3.BaseHTTPResponse, answer: Answer, partial: PartialDownload | None, start: int
    ) -> str:
        if (
            start
            and partial
            and (answer.status == 416 or (answer.status == 206 and not _continues(answer, partial, start)))
        ):
            self._forget()
            return "the file on the server has changed"
        if answer.status == 206 and start and partial:
            return self._append(response, answer, partial, start)
        if answer.status != 200:
            raise refused(self._remote.name, answer.status)
        return self._write_first(response, answer)

    def _write_first(self, response: urllib3.BaseHTTPResponse, answer: Answer) -> str:
        """Write a file from its first byte. Its metadata must never describe the bytes of another file."""
        codings_of(answer.encoding, self._remote.name)
        self._require_room(answer.length or 0, answer.length or 0)
        self._path.unlink(missing_ok=True)
        partial = PartialDownload(_digest(self._remote), answer.strong_validator, answer.length, answer.encoding)
        self._note(partial)
        self._write(response, 0, answer.length)
        if answer.length is not None and self._size() < answer.length:
            return "the connection was lost"
        self._note(PartialDownload(partial.address, partial.validator, self._size(), partial.encoding))
        self.version, self.is_length_known = answer, answer.is_delimited
        return ""

    def _append(self, response: urllib3.BaseHTTPResponse, answer: Answer, partial: PartialDownload, start: int) -> str:
        total = answer.range_total if answer.range_total is not None else partial.total
        self._require_room(total or 0, (total or start) - start)
        self._write(response, start, total)
        if total is None or self._size() < total:
            return "the connection was lost"
        self._note(PartialDownload(partial.address, partial.validator, total, partial.encoding))
        self.version = answer.whole(total, partial.encoding)
        return ""

    def _write(self, response: urllib3.BaseHTTPResponse, start: int, total: int | None) -> None:
        done = start
        with self._path.open("r+b" if start else "wb") as out:
            out.seek(start)
            out.truncate()
            self._report("download", done, total, "B")
            for chunk in response.stream(_CHUNK, decode_content=False):
                out.write(chunk)
                done += len(chunk)
                if done > self._most:
                    raise self._too_large(done)
                if time.monotonic() - self._last_report > _REPORT_SECONDS:
                    self._last_report = time.monotonic()
                    self._require_room(0, 0)
                    self._report("download", done, total, "B")
        self._report("download", done, total, "B")

    def _require_room(self, total: int, to_come: int) -> None:
        """Raise MlopsError if the file exceeds the limit or the disk's free space."""
        if total > self._most:
            raise self._too_large(total)
        free = shutil.disk_usage(self._folder).free
        if free < to_come + SPARE_BYTES:
            raise MlopsError(
                f"{self._remote.name} does not fit on the disk: {to_come / GIGABYTE:,.2f} GB are missing, "
                f"{free / GIGABYTE:,.2f} GB are free",
                "make room, then repeat the command",
            )

    def _too_large(self, size: int) -> MlopsError:
        self._forget()
        return MlopsError(
            f"{self._remote.name} is refused: it has {size:,} bytes or more, and at most {self._most:,} are allowed",
            "if that is right, allow more: MAX_DOWNLOAD_GB=100 mlops download-data",
        )

    def _decoded(self) -> Path:
        """Return the decoded file."""
        partial = self._read_partial()
        codings = codings_of(partial.encoding, self._remote.name) if partial else []
        if not codings:
            return self._path
        target = self._folder / "decoded"
        try:
            decode(self._path, codings, self._remote.name, target)
        except MlopsError:
            self._forget()
            target.unlink(missing_ok=True)
            raise
        return target

    def _resumed_at(self, partial: PartialDownload | None) -> int:
        """Return the first byte to request; 0 for a new download.

        For a complete file, request the last byte: the response shows if the server's file is unchanged.
        """
        size = self._size()
        if partial is None or not partial.validator or (partial.total is not None and size > partial.total):
            return 0
        return size - 1 if size == partial.total else size

    def _note(self, partial: PartialDownload) -> None:
        self._note_path.write_text(json.dumps(asdict(partial)), encoding="utf-8")

    def _read_partial(self) -> PartialDownload | None:
        try:
            document = parse_json(self._note_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(document, dict) or document.keys() != {field.name for field in fields(PartialDownload)}:
            return None
        texts = (document[name] for name in document if name != "total")
        if not all(isinstance(text, str) for text in texts) or not isinstance(document["total"], (int, type(None))):
            return None
        partial = PartialDownload(**document)
        return partial if partial.address == _digest(self._remote) else None

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _forget(self) -> None:
        self._path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)


def _continues(answer: Answer, partial: PartialDownload, start: int) -> bool:
    """True if a partial response belongs to the version on disk: some servers ignore If-Range."""
    if answer.range_start != start or answer.range_end is None or not answer.is_named(partial.validator):
        return False
    if answer.encoding and answer.encoding != partial.encoding:
        return False
    if answer.length is not None and answer.length != answer.range_end - start:
        return False
    total = answer.range_total
    if partial.total is None:
        return total is not None
    return total == partial.total or (total is None and answer.range_end == partial.total)


def _digest(remote: Remote) -> str:
    """Return a digest of a partial download's address, because the address itself may contain secrets.

    The query is left out: signed addresses change with every request, and the validator identifies the content.
    """
    parts = urlsplit(remote.url)
    return hashlib.sha256(f"{parts.scheme}://{parts.netloc}{parts.path}".encode()).hexdigest()
