"""The HTTP side of a worker: the container's routes, and those of SageMaker's runtime."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import falcon
import falcon.asgi

from mlops_cli.monitoring.statistics import CUSTOM_ATTRIBUTES, EXCLUDE_FROM_STATISTICS
from mlops_cli.serving.batching import QueueFullError
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.handlers import MODEL_NAME, Context, attributes
from mlops_cli.serving.loading import Predictor
from mlops_cli.serving.predictor import http_error
from mlops_cli.serving.runtime.predict_api import PredictError
from mlops_cli.serving.runtime.tensorflow_c import TensorFlowError
from mlops_cli.serving.script_model import AnswerError

log = logging.getLogger("mlops.server")

ACCOUNT = "000000000000"
AWS_PREFIX = "/endpoints/"
# Of a too large body, so many bytes are read and dropped, so that the client gets to read the answer.
DISCARDED_BODIES = 4


class ApiError(falcon.HTTPError):
    """A refusal by the endpoint itself, not by the model; ``kind`` is SageMaker's name of the error."""

    def __init__(self, status: str, kind: str, description: str, headers: dict[str, str]) -> None:
        super().__init__(status, description=description, headers=headers)
        self.kind = kind


@dataclass
class Serving:
    """The parts of the worker that the routes use."""

    invoker: Predictor
    limits: Limits
    endpoint: str
    digest: str
    version: str
    rest_uri: str
    on_stuck: Callable[[], None]
    draining: bool = False


def create_app(serving: Serving) -> falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]:
    app = falcon.asgi.App(middleware=[Headers(serving)])
    app.add_route("/ping", Ping())
    app.add_route("/invocations", Invocations(serving))
    app.add_route("/endpoints/{name}/invocations", Endpoints(serving))
    app.add_route(f"/v1/models/{MODEL_NAME}:predict", Predictions(serving))
    app.add_route(f"/v1/models/{MODEL_NAME}", Versions(serving))
    app.add_error_handler(Exception, _unexpected)
    app.set_error_serializer(_serialize)
    return app


class Headers:
    """Middleware: set the headers that every answer carries."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def process_response(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, _resource: object, _succeeded: bool
    ) -> None:
        resp.set_header("x-Amzn-Invoked-Production-Variant", "AllTraffic")
        resp.set_header("x-amzn-RequestId", str(uuid.uuid4()))
        resp.set_header(CUSTOM_ATTRIBUTES, f"model-digest={self._serving.digest}")
        if self._serving.draining:
            resp.set_header("Connection", "close")


class Ping:
    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.text = ""


class Invocations:
    """The container's route: return a handler's error unchanged."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await answer(self._serving, req, resp)


class Endpoints:
    """SageMaker's route: check the endpoint's name; return the container's errors as ModelError."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        if name != self._serving.endpoint:
            await read_body(req, self._serving.limits.body_bytes)
            message = f"Endpoint {name} of account {ACCOUNT} not found."
            raise ApiError(falcon.HTTP_400, "ValidationError", message, {})
        await answer(self._serving, req, resp)


class Predictions:
    """TensorFlow Serving's own route, called by a package's ``handler`` through ``context.rest_uri``."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        serving = self._serving
        body = await read_body(req, serving.limits.body_bytes)
        context = _context(serving, req)._replace(
            request_content_type="application/json", accept_header="application/json"
        )
        try:
            content, resp.content_type = await serving.invoker.predict(body, context, _is_gone(req))
        except (PredictError, TensorFlowError) as error:
            resp.status, resp.text = http_error(error).status, http_error(error).description
            resp.content_type = "application/json"
        except QueueFullError:
            raise _too_busy() from None
        else:
            resp.data = content if isinstance(content, bytes) else content.encode()


class Versions:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        status = {"error_code": "OK", "error_message": ""}
        version = {"version": self._serving.version, "state": "AVAILABLE", "status": status}
        resp.media = {"model_version_status": [version]}


async def answer(serving: Serving, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
    """Run the request through the handlers and the model; raise falcon.HTTPError."""
    body = await read_body(req, serving.limits.body_bytes)
    try:
        content, content_type = await serving.invoker.invoke(body, _context(serving, req), _is_gone(req))
    except QueueFullError:
        raise _too_busy() from None
    except TimeoutError:
        if serving.invoker.is_stuck:
            serving.on_stuck()
        seconds = serving.limits.request_seconds
        raise falcon.HTTPGatewayTimeout(
            description=f"Your invocation timed out: the model has not answered within {seconds:g} seconds."
        ) from None
    except (PredictError, TensorFlowError) as error:
        raise http_error(error) from None
    resp.content_type = content_type
    resp.data = content if isinstance(content, bytes) else content.encode()


async def read_body(req: falcon.asgi.Request, limit: int) -> bytes:
    """Return the request's body; raise HTTPContentTooLarge as soon as it exceeds ``limit``."""
    if (req.content_length or 0) > limit * DISCARDED_BODIES:
        raise _too_large(limit, close=True)
    chunks, size = [], 0
    async for chunk in req.stream:
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > limit * DISCARDED_BODIES:
            raise _too_large(limit, close=True)
    if size > limit:
        raise _too_large(limit, close=False)
    return b"".join(chunks)


def _too_large(limit: int, close: bool) -> ApiError:
    description = f"The request's body is larger than the limit of {limit} bytes."
    return ApiError(falcon.HTTP_413, "ValidationError", description, {"Connection": "close"} if close else {})


def _too_busy() -> ApiError:
    description = "The endpoint is busy: too many requests are waiting."
    return ApiError(falcon.HTTP_503, "ServiceUnavailable", description, {"Retry-After": "1"})


def _context(serving: Serving, req: falcon.asgi.Request) -> Context:
    custom = req.get_header(CUSTOM_ATTRIBUTES)
    if req.query_string == EXCLUDE_FROM_STATISTICS:
        custom = f"{custom},{EXCLUDE_FROM_STATISTICS}" if custom else EXCLUDE_FROM_STATISTICS
    chosen = attributes(custom) if custom else {}
    return Context(
        model_name=chosen.get("tfs-model-name", MODEL_NAME),
        model_version=chosen.get("tfs-model-version"),
        method=chosen.get("tfs-method"),
        rest_uri=serving.rest_uri,
        grpc_port=None,
        channel=None,
        custom_attributes=custom,
        request_content_type=req.get_header("Content-Type") or "application/json",
        accept_header=req.get_header("Accept") or "application/json",
        content_length=req.content_length,
        timeout=serving.limits.request_seconds,
    )


def _is_gone(req: falcon.asgi.Request) -> Callable[[], bool]:
    """Return a test for a client that has hung up: the protocol provides it (see protocol.py)."""
    is_gone: Callable[[], bool] = req.scope["extensions"]["mlops.is_closing"]
    return is_gone


async def _unexpected(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: dict[str, str]
) -> None:
    """Log the traceback of a handler's own exception and answer its message, as the container does."""
    log.error("%s %s failed", req.method, req.path, exc_info=error)
    resp.status = falcon.HTTP_500
    body = json.dumps({"error": str(error)})
    if req.path.startswith(AWS_PREFIX):
        body = _model_error(resp, 500, body)
    resp.text, resp.content_type = body, "application/json"


def _serialize(req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError) -> None:
    resp.content_type = "application/json"
    if isinstance(error, AnswerError):
        is_aws = req.path.startswith(AWS_PREFIX)
        resp.text = _model_error(resp, error.status_code, error.body) if is_aws else error.body
        resp.content_type = resp.content_type if is_aws else error.content_type
    elif not req.path.startswith(AWS_PREFIX):
        resp.text = error.to_json().decode()
    elif isinstance(error, ApiError):
        resp.set_header("x-amzn-ErrorType", error.kind)
        resp.text = json.dumps({"Message": error.description})
    elif isinstance(error, falcon.HTTPMethodNotAllowed):
        resp.set_header("x-amzn-ErrorType", "UnknownOperationException")
        resp.text = json.dumps({"Message": "The requested operation is not supported."})
    else:
        resp.text = _model_error(resp, error.status_code, error.to_json().decode())


def _model_error(resp: falcon.asgi.Response, status: int, original: str) -> str:
    """Return the container's error in the form of SageMaker's runtime."""
    resp.status = falcon.HTTP_424
    resp.set_header("x-amzn-ErrorType", "ModelError")
    side = "client" if status < 500 else "server"
    message = f'Received {side} error ({status}) from primary with message "{original}".'
    fields = {"OriginalStatusCode": status, "OriginalMessage": original, "LogStreamArn": ""}
    return json.dumps({"Message": message, **fields})
