"""AWS's JSON protocols (json, rest-json) on the server's side: request → dict, dict → response."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel, ServiceModel, Shape

from aws_simulator.shapes import from_json, to_json

Response = tuple[int, dict[str, str], bytes]


def requested(model: ServiceModel, method: str, path: str, headers: Mapping[str, str]) -> OperationModel | None:
    """Return the operation that a request asks for."""
    if target := headers.get("x-amz-target"):
        name = target.rpartition(".")[2]
        return model.operation_model(name) if name in model.operation_names else None
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.http["method"] == method and _matched(operation, path) is not None:
            return operation
    return None


def decoded(
    operation: OperationModel, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the request as boto3's caller wrote it."""
    shape = operation.input_shape
    if shape is None:
        return {}
    if headers.get("x-amz-target"):
        return dict(from_json(json.loads(body or b"{}"), shape))
    payload = shape.serialization.get("payload")
    bodied = {} if payload else json.loads(body or b"{}")
    request = dict(from_json(bodied, shape))
    if payload:
        request[payload] = (
            body if shape.members[payload].type_name == "blob" else from_json(json.loads(body), shape.members[payload])
        )
    in_path = _matched(operation, path) or {}
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name)
        operations = {
            "uri": in_path.get(wire),
            "header": headers.get(wire.lower()),
            "querystring": (query.get(wire) or [None])[0],
        }
        if (value := operations.get(member.serialization.get("location", ""))) is not None:
            request[name] = _scalar(value, member)
    return request


def encoded(operation: OperationModel, result: Mapping[str, Any]) -> Response:
    shape = operation.output_shape
    version = operation.service_model.metadata.get("jsonVersion", "1.1")
    if operation.service_model.protocol == "json":
        body = json.dumps(to_json(dict(result), shape) if shape else {}).encode()
        return 200, {"Content-Type": f"application/x-amz-json-{version}"}, body
    headers = {"Content-Type": "application/json"}
    bodied = dict(result)
    for name, member in shape.members.items() if shape else ():
        if member.serialization.get("location") == "header" and name in bodied:
            headers[member.serialization.get("name", name)] = str(bodied.pop(name))
    payload = shape.serialization.get("payload") if shape else None
    if payload and shape and shape.members[payload].type_name == "blob":
        return 200, headers, bytes(bodied.get(payload, b""))
    return 200, headers, json.dumps(to_json(bodied, shape) if shape else {}).encode()


def refused(code: str, message: str, status: int, facts: Mapping[str, Any]) -> Response:
    """Return an error in the form of the JSON protocols."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}
    return status, headers, json.dumps({"__type": code, "message": message, "Message": message, **facts}).encode()


def _matched(operation: OperationModel, path: str) -> dict[str, str] | None:
    template = operation.http["requestUri"].partition("?")[0]
    pattern = re.sub(
        r"\\\{(\w+)(\\\+)?\\\}", lambda name: f"(?P<{name[1]}>{'.+' if name[2] else '[^/]+'})", re.escape(template)
    )
    match = re.fullmatch(pattern, path)
    return {name: unquote(value) for name, value in match.groupdict().items()} if match else None


def _scalar(value: str, shape: Shape) -> Any:
    if shape.type_name in ("integer", "long"):
        return int(value)
    return value == "true" if shape.type_name == "boolean" else value
