"""The head of an HTTP response: the file's length, version and part."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    import urllib3

# Within a minute a file may be written twice with one timestamp; HTTP accepts older timestamps as strong validators.
_SETTLED = timedelta(seconds=60)
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """The head of a response.

    ``length``: of the body. ``range_end``: the first byte after the part. ``is_delimited``: a truncated body can be
    detected.
    """

    status: int
    length: int | None
    etag: str
    last_modified: str
    date: str
    encoding: str
    address: str
    is_delimited: bool = True
    range_start: int | None = None
    range_end: int | None = None
    range_total: int | None = None

    @classmethod
    def of(cls, response: urllib3.BaseHTTPResponse, name: str, address: str) -> Answer:
        """Parse the head. Raise MlopsError for an unreliable length or transfer."""
        headers = response.headers
        transfer = headers.get("Transfer-Encoding", "").strip().lower()
        if transfer not in ("", "identity", "chunked"):
            raise MlopsError(
                f"{name} is sent with the Transfer-Encoding {transfer[:40]!r}, which is not read", "check it"
            )
        length = None if transfer == "chunked" else _length(headers.get("Content-Length"), name)
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        start, last, total = match.groups() if match else (None, None, None)
        return cls(
            status=response.status,
            length=length,
            etag=headers.get("ETag", "").strip(),
            last_modified=headers.get("Last-Modified", "").strip(),
            date=headers.get("Date", ""),
            encoding=headers.get("Content-Encoding", "").strip().lower(),
            address=address,
            is_delimited=length is not None or transfer == "chunked",
            range_start=int(start) if start else None,
            range_end=int(last) + 1 if last else None,
            range_total=int(total) if total and total != "*" else None,
        )

    @property
    def strong_validator(self) -> str:
        """The validator of exactly these bytes; "" with a weak ETag, and with a timestamp that is too recent."""
        if self.etag:
            return "" if self.etag.startswith("W/") else self.etag
        written, answered = _time(self.last_modified), _time(self.date)
        if written is None or answered is None or answered - written < _SETTLED:
            return ""
        return self.last_modified

    def is_named(self, validator: str) -> bool:
        """True if the response itself names this version."""
        return validator == (self.etag or self.last_modified)

    def whole(self, length: int, encoding: str) -> Answer:
        """Return the head for the whole file from the head of a part."""
        return replace(self, status=200, length=length, encoding=encoding)


def _length(header: str | None, name: str) -> int | None:
    if header is None:
        return None
    numbers = {part.strip() for part in header.split(",")}
    number = numbers.pop()
    if numbers or not number.isascii() or not number.isdecimal():
        raise MlopsError(f"{name} cannot be downloaded: the server says that its length is {header[:40]!r}", "check it")
    return int(number)


def _time(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
