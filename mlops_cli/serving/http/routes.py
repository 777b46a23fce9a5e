"""The HTTP front: the container's routes and those of SageMaker's runtime. An ASGI app that runs no user code."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

from mlops_cli.monitoring.statistics import CUSTOM_ATTRIBUTES, EXCLUDE_FROM_STATISTICS
from mlops_cli.serving.control_files import Deployment
from mlops_cli.serving.http.allowed_callers import objection
from mlops_cli.serving.http.dispatcher import (
    ClientGoneError,
    Dispatcher,
    OutOfServiceError,
    QueueFullError,
    WorkerAnswer,
    WorkerDiedError,
)
from mlops_cli.serving.http.http_error import HttpError
from mlops_cli.serving.http.request_body import read_body
from mlops_cli.serving.supervision.worker_handle import PREDICT, Worker

log = logging.getLogger("mlops.server")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ACCOUNT = "000000000000"
INVOKE = "invoke"
AWS_ROUTE = re.compile(r"/endpoints/([^/]*)/invocations")
MODEL_ROUTE = "/v1/models/model"
CUSTOM_HEADER = CUSTOM_ATTRIBUTES.lower().encode()
TIMEOUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass
class Front:
    """The objects that the routes use. ``reason``: returns why the endpoint is not healthy."""

    dispatcher: Dispatcher
    deployment: Deployment
    reason: str = ""


@dataclass
class Answer:
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    digest: str = ""


class Request:
    """One HTTP request: the parts of the ASGI scope that the routes use."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.version: str = scope["http_version"]
        self.extensions: dict[str, Any] = scope["extensions"]
        self.receive = receive
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            earlier = self._headers.get(name)
            self._headers[name] = value if earlier is None else b"%b,%b" % (earlier, value)

    def header(self, name: bytes) -> str | None:
        """Return the header's value. Join several values with commas."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def content_length(self) -> int | None:
        text = self.header(b"content-length")
        return int(text) if text else None

    @property
    def is_aws(self) -> bool:
        return self.path.startswith("/endpoints/")


class App:
    """A fixed ``worker``: the app serves the private address of one worker's model, known only to its ``handler``."""

    def __init__(self, front: Front, worker: Worker | None = None) -> None:
        self._front = front
        self._worker = worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientGoneError:
            return
        except HttpError as error:
            answer = _error_answer(request, error)
        except QueueFullError:
            message = "The endpoint is busy: too many requests are waiting."
            retry = (("Retry-After", "1"),)
            busy = HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", message, retry)
            answer = _error_answer(request, busy)
        await self._send(send, answer)

    async def _answer(self, request: Request) -> Answer:
        if reason := objection(request, self._front.deployment.host, self._front.deployment.hosts):
            raise HttpError(HTTPStatus.FORBIDDEN, "AccessDeniedException", reason)
        path = request.path
        methods: tuple[str, ...] = ("POST",)
        if aws := AWS_ROUTE.fullmatch(path):
            route = self._aws_invocation(request, aws[1])
        elif path == "/invocations":
            route = self._invocation(request)
        elif path == f"{MODEL_ROUTE}:predict":
            route = self._prediction(request)
        elif path == "/ping":
            route, methods = self._ping(), ("GET", "HEAD")
        elif path == MODEL_ROUTE:
            route, methods = self._model_status(), ("GET", "HEAD")
        else:
            raise HttpError(HTTPStatus.NOT_FOUND, "UnknownOperationException", f"There is no {path:.200}.")
        if request.method not in methods:
            route.close()
            message = "The requested operation is not supported."
            headers = (("Allow", ", ".join(methods)),)
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "UnknownOperationException", message, headers)
        return await route

    async def _ping(self) -> Answer:
        if reason := self._front.reason:
            return Answer(503, json.dumps({"error": reason}).encode())
        return Answer(200)

    async def _model_status(self) -> Answer:
        worker = self._worker or self._front.dispatcher.worker
        status = {"error_code": "OK", "error_message": ""}
        state = "AVAILABLE" if worker else "LOADING"
        version = {"version": worker.version if worker else "", "state": state, "status": status}
        return Answer(200, json.dumps({"model_version_status": [version]}).encode())

    async def _invocation(self, request: Request) -> Answer:
        """The container's route: return a handler's error unchanged."""
        answer = await self._compute(request, INVOKE)
        return Answer(answer.status, answer.body, answer.content_type, tuple(answer.headers), answer.digest)

    async def _aws_invocation(self, request: Request, name: str) -> Answer:
        """SageMaker's route: check the endpoint's name, and return the container's errors as ModelError."""
        if name != self._front.deployment.name:
            await read_body(request, self._front.dispatcher)
            message = f"Endpoint {name} of account {ACCOUNT} not found."
            raise HttpError(HTTPStatus.BAD_REQUEST, "ValidationError", message)
        answer = await self._compute(request, INVOKE)
        if answer.status < 400:
            return Answer(answer.status, answer.body, answer.content_type, tuple(answer.headers), answer.digest)
        return _model_error(answer.status, answer.body.decode("utf-8", "replace"), answer.digest)

    async def _prediction(self, request: Request) -> Answer:
        """TensorFlow Serving's own route. A package's ``handler`` calls it through ``context.rest_uri``."""
        answer = await self._compute(request, PREDICT)
        return Answer(answer.status, answer.body, answer.content_type, tuple(answer.headers), answer.digest)

    async def _compute(self, request: Request, kind: str) -> WorkerAnswer:
        """Return the worker's response. Raise HttpError if there is none."""
        dispatcher = self._front.dispatcher
        body = await read_body(request, dispatcher)
        try:
            return await dispatcher.submit(
                kind, _fields(request, kind, len(body)), body, self._worker, request.extensions["mlops.watch"]
            )
        except OutOfServiceError as error:
            retry = (("Retry-After", "5"),)
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", str(error), retry) from None
        except TimeoutError:
            raise HttpError(HTTPStatus.GATEWAY_TIMEOUT, "ModelError", TIMEOUT) from None
        except WorkerDiedError:
            message = "The model's process died while it computed this request."
            raise HttpError(HTTPStatus.BAD_GATEWAY, "ModelError", message) from None

    async def _send(self, send: Send, answer: Answer) -> None:
        digest = answer.digest or self._front.deployment.digest
        headers = [
            (b"content-type", answer.content_type.encode("latin-1")),
            (b"content-length", b"%d" % len(answer.body)),
            (b"x-amzn-invoked-production-variant", b"AllTraffic"),
            (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
            (CUSTOM_HEADER, b"model-digest=%b" % digest.encode()),
        ]
        for name, value in answer.headers:
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _fields(request: Request, kind: str, length: int) -> list[object]:
    """Return the fields of a request to a worker (see worker.py)."""
    custom = request.header(CUSTOM_HEADER)
    if request.query == EXCLUDE_FROM_STATISTICS.encode():
        custom = f"{custom},{EXCLUDE_FROM_STATISTICS}" if custom else EXCLUDE_FROM_STATISTICS
    json_type = "application/json"
    if kind == PREDICT:
        return [custom, json_type, json_type, length]
    content_type = request.header(b"content-type") or json_type
    return [custom, content_type, request.header(b"accept") or json_type, length]


def _error_answer(request: Request, error: HttpError) -> Answer:
    """Return the error in the form of the route: the container's or that of SageMaker's runtime."""
    if not request.is_aws:
        document = {"title": f"{error.status.value} {error.status.phrase}"}
        if error.message:
            document["description"] = error.message
        return Answer(error.status, json.dumps(document).encode(), headers=error.headers)
    if error.kind == "ModelError":
        # The container has not responded. SageMaker then reports the status 0.
        answer = _model_error(0, error.message, "")
        answer.headers = (*answer.headers, *error.headers)
        return answer
    headers = (*error.headers, ("x-amzn-ErrorType", error.kind))
    return Answer(error.status, json.dumps({"Message": error.message}).encode(), headers=headers)


def _model_error(status: int, original: str, digest: str) -> Answer:
    """Return the container's error in the form of SageMaker's runtime."""
    side = "client" if 400 <= status < 500 else "server"
    message = f'Received {side} error ({status}) from primary with message "{original}".'
    fields = {"Message": message, "OriginalStatusCode": status, "OriginalMessage": original, "LogStreamArn": ""}
    headers = (("x-amzn-ErrorType", "ModelError"),)
    return Answer(424, json.dumps(fields).encode(), headers=headers, digest=digest)
