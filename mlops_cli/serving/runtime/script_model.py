"""A model that the functions in its ``code/inference.py`` load and run, as SageMaker's own containers call them.

The contract is that of sagemaker-inference (XGBoost, PyTorch, Hugging Face) and sagemaker-containers (scikit-learn):
``model_fn``, and either ``transform_fn`` or ``input_fn``, ``predict_fn`` and ``output_fn``, with the framework's
defaults. The toolkits differ in their error responses, and only the first one passes a context to functions that take
one.
"""

from __future__ import annotations

import inspect
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import falcon

from mlops_cli.frameworks.base import CSV, JSON, Framework, Toolkit
from mlops_cli.frameworks.formats import UnsupportedFormatError
from mlops_cli.frameworks.package_check import NO_HANDLERS
from mlops_cli.serving.failure_log import FAILED
from mlops_cli.serving.runtime import rows
from mlops_cli.serving.runtime.saved_model import ModelError
from mlops_cli.serving.worker.failures import describe
from mlops_cli.serving.worker.handlers import Answer, import_inference

log = logging.getLogger("mlops.server")

Function: TypeAlias = Callable[..., Any]
TRANSFORM_PARTS = ("input_fn", "predict_fn", "output_fn")
ANY = "*/*"


class AnswerError(falcon.HTTPError):
    """The container's error response, including body and content type."""

    def __init__(self, status: int, body: str, content_type: str = "text/plain") -> None:
        super().__init__(status, description=body)
        self.body = body
        self.content_type = content_type


class ScriptModel:
    """A loaded model and its functions."""

    version = "1"

    def __init__(self, package: Path, framework: Framework, batching: bool = False) -> None:
        """Import the package's functions and load the model. Raise ModelError, or the functions' own exception.

        ``batching``: the package's predict_fn returns one row for each row, so it gets the rows of several requests.
        """
        module = import_inference(package)
        self._framework = framework
        self._context = SimpleNamespace(system_properties={"model_dir": str(package), "gpu_id": None})
        self._transform = _transform_function(module)
        self._functions = {} if self._transform else _functions(module, framework)
        row_functions = framework.row_functions or {}
        has_row_functions = bool(row_functions) and not any(
            hasattr(module, name) for name in ("transform_fn", *row_functions)
        )
        if has_row_functions:
            self._functions |= row_functions
        # Whether predict_fn gets the rows of several requests.
        self.joins_rows = self._transform is None and (has_row_functions or batching)
        load = getattr(module, "model_fn", None)
        if load is None and framework.model_fn is None:
            ending = "" if module else f"; {NO_HANDLERS}"
            raise ModelError(f"code/inference.py must define model_fn: {framework.title} has no default one{ending}")
        self._optional(module, "pre_model_fn", str(package))
        self._model = self._call(load, str(package)) if load else framework.model_fn(package)  # type: ignore[misc]
        self._optional(module, "model_warmup_fn", str(package), self._model)

    def answer(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Return the functions' response: body and content type. Raise AnswerError."""
        if self._transform is None:
            return self.write(self.predict(self.read(body, content_type)), accept)
        accept = _accepted(accept)
        with self._container_errors():
            content = _content(body, content_type)
            return _answer(self._call(self._transform, self._model, content, content_type, accept), accept)

    def read(self, body: bytes, content_type: str) -> Any:
        """Return input_fn's result. Raise AnswerError, as do the other two steps."""
        with self._container_errors():
            return self._format_step(415, "input_fn", _content(body, content_type), content_type)

    def predict(self, data: Any) -> Any:
        with self._container_errors():
            return self._call(self._functions["predict_fn"], data, self._model)

    def predict_together(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the predictions of inputs of one kind, from one call. Raise any exception."""
        prediction = self._call(self._functions["predict_fn"], rows.join(inputs), self._model)
        return rows.split(prediction, [len(data) for data in inputs])

    def write(self, prediction: Any, accept: str) -> Answer:
        """Return output_fn's result."""
        accept = _accepted(accept)
        with self._container_errors():
            return _answer(self._format_step(406, "output_fn", prediction, accept), accept)

    @contextmanager
    def _container_errors(self) -> Iterator[None]:
        """Log an exception of the functions, and raise the container's response to it."""
        try:
            yield
        except AnswerError:
            raise
        except Exception as error:
            log.exception("%s%s", FAILED, describe(error))
            raise self._failure(error) from error

    def _format_step(self, status: int, name: str, *arguments: Any) -> Any:
        """Call input_fn or output_fn. sagemaker-containers has a status of its own for an unknown format."""
        try:
            return self._call(self._functions[name], *arguments)
        except UnsupportedFormatError as error:
            if self._framework.toolkit is not Toolkit.CONTAINERS:
                raise
            document = {
                "error": type(error).__name__,
                "error-message": str(error),
                "stack-trace": traceback.format_exc(limit=0),
            }
            raise AnswerError(status, json.dumps(document), JSON) from error

    def _failure(self, error: Exception) -> AnswerError:
        """Return the container's response to an exception. The traceback goes only to the log."""
        if self._framework.toolkit is Toolkit.CONTAINERS:
            return AnswerError(500, _FLASK_ERROR, "text/html; charset=utf-8")
        status = getattr(error, "status_code", 500)  # sagemaker_inference.errors.BaseInferenceToolkitError
        message = getattr(error, "message", str(error)) or "Invalid Request"
        return AnswerError(status if isinstance(status, int) else 500, f"{message}\n")

    def _optional(self, module: ModuleType | None, name: str, *arguments: Any) -> None:
        function = getattr(module, name, None)
        if function is not None and self._framework.toolkit is Toolkit.INFERENCE:
            self._call(function, *arguments)

    def _call(self, function: Function, *arguments: Any) -> Any:
        """Call a function. Pass the context if it takes one more argument, as sagemaker-inference does."""
        if self._framework.toolkit is Toolkit.INFERENCE:
            count = len(inspect.signature(function).parameters)
            if count == len(arguments) + 1:
                return function(*arguments, self._context)
            if count != len(arguments):
                raise TypeError(f"{function.__name__} takes {count} arguments but {len(arguments)} were given.")
        return function(*arguments)


_FLASK_ERROR = (
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n"
    "<p>The server encountered an internal error and was unable to complete your request. Either the server is "
    "overloaded or there is an error in the application.</p>\n"
)


def _content(body: bytes, content_type: str) -> str | bytes:
    return body.decode() if content_type in (JSON, CSV) else body


def _accepted(accept: str) -> str:
    return JSON if accept in ("", ANY) else accept


def _answer(result: Any, accept: str) -> Answer:
    content, answered = result if isinstance(result, tuple) else (result, accept)
    if not isinstance(content, (str, bytes)):
        raise AnswerError(500, f"output_fn returned {type(content).__name__}, expected text or bytes")
    return content, answered


def _transform_function(module: ModuleType | None) -> Function | None:
    transform: Function | None = getattr(module, "transform_fn", None)
    if transform is not None and any(hasattr(module, name) for name in TRANSFORM_PARTS):
        raise ModelError(
            "code/inference.py: cannot use transform_fn implementation in conjunction with input_fn, predict_fn, "
            "and/or output_fn implementation"
        )
    return transform


def _functions(module: ModuleType | None, framework: Framework) -> dict[str, Function]:
    """Return the three functions, the package's own or the framework's. Raise ModelError."""
    functions = {name: getattr(module, name, None) or getattr(framework, name) for name in TRANSFORM_PARTS}
    missing = [name for name, function in functions.items() if function is None]
    if missing:
        raise ModelError(
            f"code/inference.py must define {' and '.join(missing)}: {framework.title} has no default for it"
        )
    return functions
