"""The handlers of a model package (``code/inference.py``), called as in the TensorFlow Serving container."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import falcon

from mlops_cli.serving.runtime.saved_model import ModelError

MODEL_NAME = "model"
Answer: TypeAlias = tuple[str | bytes, str]  # body and content type


class Context(NamedTuple):
    """A handler's view of its request, with the container's fields."""

    model_name: str
    model_version: str | None
    method: str | None
    rest_uri: str
    grpc_port: int | None
    channel: None
    custom_attributes: str | None
    request_content_type: str
    accept_header: str
    content_length: int | None
    timeout: float


class PreparedRequest(NamedTuple):
    """The request that belongs to a response: the part of ``requests.PreparedRequest`` that a handler can use."""

    body: str | bytes


class Response:
    """The argument of an output_handler: the part of ``requests.Response`` that it can use."""

    status_code = 200
    ok = True
    encoding = "utf-8"
    reason = "OK"

    def __init__(self, document: dict[str, Any], sent: str | bytes = b"") -> None:
        self._document = document
        self.request = PreparedRequest(sent)

    @cached_property
    def text(self) -> str:
        return json.dumps(self._document)

    @cached_property
    def content(self) -> bytes:
        return self.text.encode()

    @cached_property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Content-Length": str(len(self.content))}

    def json(self) -> dict[str, Any]:
        return self._document

    def raise_for_status(self) -> None:
        """Never raise: a request without a response ends before the output handler, as in the container."""


Handler: TypeAlias = Callable[[io.BytesIO, Context], Answer]


@dataclass(frozen=True)
class Handlers:
    """``whole`` answers a request alone. Otherwise the request passes ``before``, the model and ``after``."""

    before: Callable[[io.BytesIO, Context], str | bytes]
    after: Callable[[Response, Context], Answer]
    whole: Handler | None = None


def pass_json(data: io.BytesIO, context: Context) -> bytes:
    """Return the body unchanged: the handler of a package without inference.py."""
    media_type = context.request_content_type.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise falcon.HTTPUnsupportedMediaType(description=f"Unsupported Media Type: {media_type}")
    return data.read()


def pass_answer(response: Response, context: Context) -> Answer:
    accepted = context.accept_header
    return response.content, "application/json" if "*" in accepted or "," in accepted else accepted


DEFAULT = Handlers(pass_json, pass_answer)


def import_inference(package: Path) -> ModuleType | None:
    """Return the package's ``code/inference.py`` as a module; None if there is none. Raise ModelError."""
    script = package / "code" / "inference.py"
    if not script.is_file():
        return None
    sys.path[:0] = [str(script.parent), str(script.parent / "lib")]
    spec = importlib.util.spec_from_file_location("inference", script)
    if spec is None or spec.loader is None:
        raise ModelError(f"{script.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["inference"] = module
    spec.loader.exec_module(module)
    return module


def load(package: Path) -> Handlers:
    """Return the handlers in the package's code folder, or the default ones. Raise ModelError."""
    module = import_inference(package)
    if module is None:
        return DEFAULT
    if hasattr(module, "handler"):
        return Handlers(pass_json, pass_answer, module.handler)
    if hasattr(module, "input_handler") and hasattr(module, "output_handler"):
        return Handlers(module.input_handler, module.output_handler)
    raise ModelError("code/inference.py defines neither handler nor both input_handler and output_handler")


def attributes(header: str | None) -> dict[str, str]:
    """Return the ``tfs-...`` entries of the custom attributes header."""
    return dict(entry.split("=", 1) for entry in re.findall(r"(tfs-[a-z-]+=[^,]+)", header or ""))
