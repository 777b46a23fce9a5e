"""The serving container's handlers: they turn a request into the model's input, and its output into a response.

Requests: application/json as {"instances": ["a text", ...]}, ["a text", ...] or {"text": "a text"}; text/csv with one
text per row and no header. Responses: {"predictions": [{label: probability, ...}, ...]}, in the order of the texts, or
text/csv with a header if the client accepts only that. For an invalid request, the error 4xx names the position. The
handlers do not import TensorFlow, because the model cleans and splits the text itself.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import falcon

from mlops_scripts.observation import Observer, Response
from monitoring import text_statistics

LABELS: list[str] = json.loads(Path(__file__).with_name("labels.json").read_text(encoding="utf-8"))
JSON, CSV = "application/json", "text/csv"
MAX_TEXTS = 1000
OBSERVER = Observer(Path(__file__).parent, text_statistics.measure_with(LABELS))
csv.field_size_limit(16 << 20)  # larger than any request, so that a long text is no CSV error


class Context(Protocol):
    """The fields of the container's context that are used here."""

    @property
    def request_content_type(self) -> str: ...
    @property
    def accept_header(self) -> str: ...
    @property
    def custom_attributes(self) -> str | None: ...


def input_handler(data: BinaryIO, context: Context) -> str:
    """Return the body (a binary file) as a TensorFlow Serving request."""
    _answer_type(context.accept_header)
    read = _reader(_media_type(context.request_content_type))
    return json.dumps({"instances": _checked(read(_decoded(data.read())))})


def output_handler(response: Response, context: Context) -> tuple[str, str]:
    """Return TensorFlow Serving's response as (body, content type)."""
    OBSERVER.offer(response, context)
    rows = [answer["probabilities"] for answer in json.loads(response.content)["predictions"]]
    if _answer_type(context.accept_header) == CSV:
        return _as_csv(rows), CSV
    predictions = [dict(zip(LABELS, row, strict=True)) for row in rows]
    return json.dumps({"predictions": predictions}), JSON


def _reader(media_type: str) -> Callable[[str], list[tuple[str, object]]]:
    """Return a parser of a body into its texts, each with its position for messages."""
    readers = {JSON: _from_json, CSV: _from_csv}
    if media_type not in readers:
        raise falcon.HTTPUnsupportedMediaType(description=f"content type {media_type!r}: expected {JSON} or {CSV}")
    return readers[media_type]


def _from_json(body: str) -> list[tuple[str, object]]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(f"the body is not JSON: {error}") from error
    if isinstance(content, dict) and "text" in content and "instances" not in content:
        return [("text", content["text"])]
    name, texts = ("instances", content.get("instances")) if isinstance(content, dict) else ("the body", content)
    if name == "instances" and "instances" not in content:
        raise _bad('the body has neither "instances" nor "text"')
    if not isinstance(texts, list):
        raise _bad(f"{name} is {_kind(texts)}, expected a list of texts")
    return [(f"instances[{index}]", text) for index, text in enumerate(texts)]


def _from_csv(body: str) -> list[tuple[str, object]]:
    texts: list[tuple[str, object]] = []
    try:
        rows = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    except csv.Error as error:
        raise _bad(f"the body is not CSV: {error}") from error
    for number, row in enumerate(rows, 1):
        if len(row) > 1:
            raise _bad(f'row {number} has {len(row)} fields, expected one text; put one with a comma in "quotes"')
        texts.append((f"row {number}", row[0] if row else ""))
    return texts


def _checked(texts: list[tuple[str, object]]) -> list[str]:
    if not texts:
        raise _bad("no text in the request")
    if len(texts) > MAX_TEXTS:
        raise falcon.HTTPError(
            falcon.HTTP_413, description=f"{len(texts)} texts in one request, at most {MAX_TEXTS} are taken"
        )
    checked = []
    for label, text in texts:
        if not isinstance(text, str):
            raise _bad(f"{label} is {_kind(text)}, expected a text")
        if not text.strip():
            raise _bad(f"{label} is an empty text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _bad(f"{label} holds half of a surrogate pair, which is no character")
        checked.append(text)
    return checked


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", str: "a text", dict: "an object", list: "a list"}
    return names.get(type(value), "a number")


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from error


def _media_type(header: str | None) -> str:
    return (header or JSON).split(";")[0].strip().lower()


def _answer_type(accept: str | None) -> str:
    """Return the first supported type of the header. Raise HTTPNotAcceptable if there is none."""
    for accepted in (accept or "*/*").split(","):
        media_type = _media_type(accepted)
        if media_type in ("*/*", "application/*", JSON):
            return JSON
        if media_type in ("text/*", CSV):
            return CSV
    raise falcon.HTTPNotAcceptable(description=f"accept {accept!r}: the answer can be {JSON} or {CSV}")


def _as_csv(rows: list[list[float]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([LABELS, *rows])
    return text.getvalue()


def _bad(reason: str) -> falcon.HTTPBadRequest:
    return falcon.HTTPBadRequest(description=reason)
