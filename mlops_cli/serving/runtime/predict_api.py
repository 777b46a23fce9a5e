"""TensorFlow Serving's REST predict API: convert JSON to tensors and back."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_cli.files.json_text import parse_json
from mlops_cli.serving.runtime.saved_model import SIGNATURE, Signature, TensorSpec
from mlops_cli.serving.runtime.tensorflow_c import NUMPY_TYPES, Array


class PredictError(Exception):
    """The request has no response. ``status``: TensorFlow Serving's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    @property
    def body(self) -> str:
        return json.dumps({"error": str(self)})


@dataclass(frozen=True)
class Prediction:
    """A request's tensors. ``rows``: None unless all tensors have the same first axis."""

    inputs: dict[str, Array]
    rows: int | None
    by_row: bool

    @property
    def kind(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes without the first axis. Requests of the same kind can share a batch."""
        return tuple(array.shape[1:] for array in self.inputs.values())


def parse(body: str | bytes, signature: Signature) -> Prediction:
    """Return the tensors in a request body. Raise PredictError."""
    try:
        request = parse_json(body)
    except ValueError as error:
        raise PredictError(f"JSON Parse error: {error}") from None
    if not isinstance(request, dict):
        raise PredictError("JSON Parse error: the request must be an object")
    if request.get("signature_name", SIGNATURE) != SIGNATURE:
        raise PredictError(f"Serving signature name: {request['signature_name']!r} not found in signature def")
    if ("instances" in request) == ("inputs" in request):
        raise PredictError("Request must have exactly one of 'instances' and 'inputs'")
    by_row = "instances" in request
    columns = _columns(request["instances"], signature) if by_row else _named(request["inputs"], signature)
    inputs = {spec.name: to_array(columns[spec.name], spec) for spec in signature.inputs}
    return Prediction(inputs, _rows(inputs), by_row)


def render(prediction: Prediction, outputs: dict[str, Array]) -> dict[str, Any]:
    """Return TensorFlow Serving's response: "predictions" for row format, "outputs" for columnar."""
    columns: dict[str, Any] = {name: _plain(array) for name, array in outputs.items()}
    if not prediction.by_row:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != prediction.rows:
            raise PredictError(f"Tensor name: {name} has inconsistent batch size", 500)
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    names = list(columns)
    return {"predictions": [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def to_array(values: object, spec: TensorSpec) -> Array:
    """Return a tensor with the signature's type and shape. Raise PredictError."""
    array = _strings(values, spec) if spec.is_string else _numbers(values, spec)
    expected = spec.shape
    if expected is None:
        return array
    fits = len(expected) == array.ndim and all(
        size is None or size == actual for size, actual in zip(expected, array.shape, strict=True)
    )
    if not fits:
        shown = ["?" if size is None else size for size in expected]
        raise PredictError(f"Input {spec.name} must have the shape {shown}, not {list(array.shape)}")
    return array


def _columns(instances: object, signature: Signature) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise PredictError("Request 'instances' must be a non-empty list")
    names = [spec.name for spec in signature.inputs]
    if len(names) == 1 and not _is_named(instances[0], names):
        return {names[0]: instances}
    for position, instance in enumerate(instances):
        if not isinstance(instance, dict) or set(instance) != set(names):
            raise PredictError(f"Element {position} of 'instances' must be an object with the keys {names}")
    return {name: [instance[name] for instance in instances] for name in names}


def _named(inputs: object, signature: Signature) -> dict[str, Any]:
    names = [spec.name for spec in signature.inputs]
    if len(names) == 1 and not _is_named(inputs, names):
        return {names[0]: inputs}
    if not isinstance(inputs, dict) or set(inputs) != set(names):
        raise PredictError(f"Request 'inputs' must be an object with the keys {names}")
    return inputs


def _is_named(value: object, names: list[str]) -> bool:
    return isinstance(value, dict) and set(value) == set(names)


def _rows(inputs: dict[str, Array]) -> int | None:
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else None


def _numbers(values: object, spec: TensorSpec) -> Array:
    dtype = NUMPY_TYPES[spec.type_number]
    kinds = {"f": "iuf", "b": "b"}.get(dtype.kind, "iu")
    try:
        array: Array = np.asarray(values)
    except ValueError:
        raise PredictError(f"Input {spec.name} is ragged: its lists must have equal lengths") from None
    if array.size and array.dtype.kind not in kinds:
        raise PredictError(f"Input {spec.name} is not of expected type: {dtype.name}")
    if dtype.kind in "iu" and array.size:
        bounds = np.iinfo(dtype)
        if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
            raise PredictError(f"Input {spec.name} is out of the range of {dtype.name}")
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _strings(values: object, spec: TensorSpec) -> Array:
    shape = _shape(values)
    flat = [values]
    for size in shape:
        lists = [item for item in flat if isinstance(item, list) and len(item) == size]
        if len(lists) != len(flat):
            raise PredictError(f"Input {spec.name} is ragged: its lists must have equal lengths")
        flat = [entry for item in lists for entry in item]
    array: Array = np.empty(len(flat), object)
    array[:] = [_bytes(item, spec) for item in flat]
    return array.reshape(shape)


def _shape(values: object) -> tuple[int, ...]:
    shape = []
    while isinstance(values, list):
        shape.append(len(values))
        values = values[0] if values else None
    if len(shape) > 8:
        raise PredictError("a tensor has at most 8 axes")
    return tuple(shape)


def _bytes(item: object, spec: TensorSpec) -> bytes:
    try:
        if isinstance(item, str):
            return item.encode()
        if isinstance(item, dict) and set(item) == {"b64"} and isinstance(item["b64"], str):
            return base64.b64decode(item["b64"], validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise PredictError(f"Input {spec.name} holds a string that cannot be decoded: {error}") from None
    raise PredictError(f"Input {spec.name} is not of expected type: string")


def _plain(array: Array) -> object:
    """Return nested lists of JSON values. Bytes that are not UTF-8 become {"b64": ...}."""
    if array.dtype != object:
        plain: object = array.tolist()
        return plain
    flat: Array = np.empty(array.size, object)
    flat[:] = [_text(item) for item in array.ravel()]
    nested: object = flat.reshape(array.shape).tolist()
    return nested


def _text(item: bytes) -> str | dict[str, str]:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode()}
