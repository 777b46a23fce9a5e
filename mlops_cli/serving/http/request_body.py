"""Read the body of a request within a limit, and decompress gzip."""

from __future__ import annotations

import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from mlops_cli.serving.http.dispatcher import ClientGoneError, Dispatcher
from mlops_cli.serving.http.http_error import HttpError

if TYPE_CHECKING:
    from mlops_cli.serving.http.routes import Request

# Of a body that is too large, read and drop this multiple of the limit, so that the client can read the response.
DISCARDED_BODIES = 4
GZIP = ("gzip", "x-gzip")
GZIP_HEADER = 16 + zlib.MAX_WBITS


async def read_body(request: Request, dispatcher: Dispatcher) -> bytes:
    """Return the decoded body. Raise HttpError as soon as it exceeds the limit, or ClientGoneError."""
    limit = dispatcher.limits.body_bytes
    codings = [coding.strip().lower() for coding in (request.header(b"content-encoding") or "").split(",")]
    coding = ", ".join(coding for coding in codings if coding not in ("", "identity"))
    if (request.content_length or 0) > limit * DISCARDED_BODIES:
        raise _too_large(limit, close=True)
    reserved = 0
    try:
        chunks, size, more = [], 0, True
        while more:
            event = await request.receive()
            if event["type"] != "http.request":
                raise ClientGoneError
            chunk, more = event.get("body", b""), event.get("more_body", False)
            size += len(chunk)
            if size > limit * DISCARDED_BODIES:
                raise _too_large(limit, close=True)
            if size <= limit:
                chunks.append(chunk)
                reserved += len(chunk)
                dispatcher.reserve(len(chunk))
            else:
                chunks.clear()
    finally:
        dispatcher.release(reserved)
    if size > limit:
        raise _too_large(limit, close=False)
    body = b"".join(chunks)
    if not coding or not body:
        return body
    if coding not in GZIP:
        message = f"The Content-Encoding {coding:.40} is not supported: send the body as it is, or with gzip."
        accepted = (("Accept-Encoding", "gzip, identity"),)
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "ValidationError", message, accepted)
    return _unzipped(body, limit)


def _unzipped(body: bytes, limit: int) -> bytes:
    """Return the content of one or more gzip members. Raise HttpError if it is damaged or exceeds the limit."""
    parts: list[bytes] = []
    room = limit
    while body:
        member = zlib.decompressobj(GZIP_HEADER)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as error:
            message = f"The body is not gzip, as its Content-Encoding says: {error}."
            raise HttpError(HTTPStatus.BAD_REQUEST, "ValidationError", message) from None
        if len(part) > room:
            raise _too_large(limit, close=False)
        if not member.eof:
            message = "The body is not gzip, as its Content-Encoding says: it is cut off."
            raise HttpError(HTTPStatus.BAD_REQUEST, "ValidationError", message)
        parts.append(part)
        room -= len(part)
        body = member.unused_data
    return b"".join(parts)


def _too_large(limit: int, close: bool) -> HttpError:
    message = f"The request's body is larger than the limit of {limit} bytes."
    headers = (("Connection", "close"),) if close else ()
    return HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "ValidationError", message, headers)
