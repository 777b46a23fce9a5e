"""Check and convert values by botocore's own shapes, so that the simulation cannot differ from AWS."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.utils import parse_timestamp

# Characters above 16 bits in a pattern: Java's form, and Python's.
SURROGATES = (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "list": (list, tuple),
    "map": (dict,),
    "string": (str,),
    "character": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (bytes, bytearray),
    "timestamp": (datetime.datetime,),
}


def problems(value: Any, shape: Shape, path: str = "", answer: bool = False) -> Iterator[str]:
    """Return AWS's objections to ``value``: types, required, unknown, enums, patterns, lengths.

    ``answer``: the value is a response, not a request.
    """
    if shape.type_name == "structure" and getattr(shape, "is_document_type", False):
        return
    if not isinstance(value, TYPES[shape.type_name]) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"Value at '{path}' failed to satisfy constraint: Member must be of type {shape.type_name}"
        return
    yield from (
        f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: {rule}"
        for rule in _rules(value, shape, answer)
    )
    if isinstance(shape, StructureShape):
        yield from _member_problems(value, shape, path, answer)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from problems(item, shape.member, f"{path}.{number}.member", answer)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from problems(key, shape.key, f"{path}.key", answer)
            yield from problems(item, shape.value, f"{path}.{key}.member", answer)


def _member_problems(value: Mapping[str, Any], shape: StructureShape, path: str, answer: bool) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            where = _joined(path, name)
            yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f"Value at '{path}' failed to satisfy constraint: Member must have exactly one of its members set"
    for name, item in value.items():
        if name not in shape.members:
            yield f"Value at '{_joined(path, name)}' failed to satisfy constraint: Member is not known"
        elif item is not None:
            yield from problems(item, shape.members[name], _joined(path, name), answer)


def _rules(value: Any, shape: Shape, answer: bool) -> Iterator[str]:
    """Return the constraints of the shape itself that ``value`` violates."""
    facts = shape.metadata
    if shape.type_name in ("string", "character"):
        allowed = getattr(shape, "enum", None)
        if allowed and value not in allowed:
            yield f"Member must satisfy enum value set: [{', '.join(allowed)}]"
        if (pattern := facts.get("pattern")) and not regex.fullmatch(pattern.replace(*SURROGATES), value):
            yield f"Member must satisfy regular expression pattern: {pattern}"
    size = len(value) if hasattr(value, "__len__") else value
    if isinstance(size, (int, float)) and not isinstance(value, bool):
        noun = "length" if hasattr(value, "__len__") else "value"
        # AWS itself returns empty lists where its models demand at least one entry.
        if size < facts.get("min", size) and not (answer and shape.type_name == "list"):
            yield f"Member must have {noun} greater than or equal to {facts['min']}"
        if size > facts.get("max", size):
            yield f"Member must have {noun} less than or equal to {facts['max']}"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def from_json(value: Any, shape: Shape) -> Any:
    """Convert decoded JSON to Python values: bytes for blobs, datetimes for timestamps, no nulls."""
    if value is None or getattr(shape, "is_document_type", False):
        return value
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = {_wire_name(member, name): (name, member) for name, member in shape.members.items()}
        shaped = {key: members.get(key) for key in value if value[key] is not None}
        return {
            member[0] if member else key: from_json(value[key], member[1]) if member else value[key]
            for key, member in shaped.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [from_json(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: from_json(item, shape.value) for key, item in value.items()}
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    if shape.type_name == "timestamp":
        return parse_timestamp(value)
    return value


def to_json(value: Any, shape: Shape) -> Any:
    """Convert Python values to JSON. Leave out None."""
    if value is None or getattr(shape, "is_document_type", False):
        return value
    if isinstance(shape, StructureShape):
        members = shape.members
        return {
            _wire_name(members[name], name): to_json(item, members[name])
            for name, item in value.items()
            if item is not None
        }
    if isinstance(shape, ListShape):
        return [to_json(item, shape.member) for item in value]
    if isinstance(shape, MapShape):
        return {key: to_json(item, shape.value) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp":
        return round(value.timestamp(), 3)
    return value


def _wire_name(member: Shape, name: str) -> str:
    return str(member.serialization.get("name", name))


def from_properties(value: Any, shape: Shape, path: str = "") -> Any:
    """Convert CloudFormation properties to a request: ignore the case of a first letter, convert strings.

    Raise ValueError for a property that the shape does not have, as CloudFormation does.
    """
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = {name.lower(): (name, member) for name, member in shape.members.items()}
        if unknown := [name for name in value if name.lower() not in members]:
            raise ValueError(f"Model validation failed (#{path}: extraneous key [{unknown[0]}] is not permitted)")
        headers_ = {members[name.lower()]: item for name, item in value.items() if item is not None}
        return {name: from_properties(item, member, f"{path}/{name}") for (name, member), item in headers_.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [from_properties(item, shape.member, f"{path}/{number}") for number, item in enumerate(value)]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: from_properties(item, shape.value, f"{path}/{key}") for key, item in value.items()}
    return _coerced(value, shape)


def _coerced(value: Any, shape: Shape) -> Any:
    if shape.type_name == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    if shape.type_name in ("integer", "long") and isinstance(value, (str, float)):
        return int(value)
    if shape.type_name in ("float", "double") and isinstance(value, str):
        return float(value)
    if shape.type_name == "string" and isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
