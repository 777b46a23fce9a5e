"""The response of the container's route to a computed request, including its errors."""

from __future__ import annotations

import json
import logging
from typing import NamedTuple

import falcon

from mlops_cli.serving.failure_log import FAILED
from mlops_cli.serving.runtime.predict_api import PredictError
from mlops_cli.serving.runtime.script_model import AnswerError
from mlops_cli.serving.runtime.tensorflow_c import TensorFlowError
from mlops_cli.serving.worker.batch import Invocation
from mlops_cli.serving.worker.failures import describe

log = logging.getLogger("mlops.server")

JSON = "application/json"


class ContainerAnswer(NamedTuple):
    status: int
    content_type: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def fields(self) -> list[object]:
        return [self.status, self.content_type, self.headers]


def container_answer(invocation: Invocation) -> ContainerAnswer:
    """Return the response. Log the traceback of a handler's own exception."""
    error = invocation.error
    if error is None and invocation.answer is not None:
        try:
            return _answer_of(*invocation.answer)
        except Exception as mistake:  # noqa: BLE001 - the handler's answer is not one
            error = mistake
    if isinstance(error, PredictError | TensorFlowError):
        predict_error = error if isinstance(error, PredictError) else _predict_error(error)
        if invocation.predict_only:
            return ContainerAnswer(predict_error.status, JSON, [], predict_error.body.encode())
        error = falcon.HTTPError(predict_error.status, description=predict_error.body)
    if isinstance(error, AnswerError):
        return ContainerAnswer(error.status_code, error.content_type, [], error.body.encode())
    if isinstance(error, falcon.HTTPError):
        return ContainerAnswer(error.status_code, JSON, _headers(error.headers), error.to_json())
    if isinstance(error, falcon.HTTPStatus):
        text = error.text or ""
        return ContainerAnswer(error.status_code, "text/plain; charset=utf-8", _headers(error.headers), text.encode())
    reason = describe(error) if error is not None else "there is no answer"
    log.error("%s%s", FAILED, reason, exc_info=error)
    return ContainerAnswer(500, JSON, [], json.dumps({"error": _message(error)}).encode())


def _answer_of(content: object, content_type: object) -> ContainerAnswer:
    body = content.encode() if isinstance(content, str) else content
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"the handler's answer is of type {type(content).__name__}, not text or bytes")
    if not isinstance(content_type, str) or not content_type.isprintable() or not content_type.isascii():
        raise ValueError(f"the handler's content type is not one: {content_type!r:.100}")
    return ContainerAnswer(200, content_type, [], bytes(body))


def _predict_error(error: TensorFlowError) -> PredictError:
    return PredictError(str(error), 400 if error.is_callers_fault else 500)


def _headers(headers: object) -> list[tuple[str, str]]:
    """Return the error's headers that are valid in HTTP."""
    pairs = headers.items() if isinstance(headers, dict) else headers or ()
    texts = [(str(name).lower(), str(value)) for name, value in pairs]  # type: ignore[attr-defined]
    return [(name, value) for name, value in texts if f"{name}{value}".isprintable() and f"{name}{value}".isascii()]


def _message(error: BaseException | None) -> str:
    """Return the error's text; if it has none, its type."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of user code
        return type(error).__name__
