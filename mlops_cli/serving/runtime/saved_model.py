"""A SavedModel and its ``serving_default`` signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.serving.runtime.tensorflow_c import NUMPY_TYPES, STRING, Array, Session

SIGNATURE = "serving_default"


class ModelError(Exception):
    """The model package cannot be served. The message is the reason."""


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output. ``shape``: None for a free axis; the whole is None if the rank is free."""

    name: str
    tensor: str
    type_number: int
    shape: tuple[int | None, ...] | None

    @property
    def is_string(self) -> bool:
        return self.type_number == STRING

    @property
    def is_batched(self) -> bool:
        """Return True if the first axis is free, so that several requests can share a call."""
        return bool(self.shape) and self.shape[0] is None if self.shape is not None else False


@dataclass(frozen=True)
class Signature:
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def is_batched(self) -> bool:
        return all(spec.is_batched for spec in (*self.inputs, *self.outputs))


class Model:
    """The newest version folder (``1/``, ``2/`` …) of an unpacked model package, loaded."""

    def __init__(self, package: Path, intra_threads: int, inter_threads: int) -> None:
        """Load the model. Raise ModelError or TensorFlowError."""
        folder = version_folder(package)
        self.version = folder.name
        self.signature = read_signature((folder / "saved_model.pb").read_bytes())
        self._session = Session(folder, intra_threads, inter_threads)
        self._fetches = [spec.tensor for spec in self.signature.outputs]

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Return the outputs by name. ``inputs`` has exactly the signature's names."""
        feeds = {spec.tensor: inputs[spec.name] for spec in self.signature.inputs}
        arrays = self._session.run(feeds, self._fetches)
        return {spec.name: array for spec, array in zip(self.signature.outputs, arrays, strict=True)}


def version_folder(package: Path) -> Path:
    """Return the newest version folder. Raise ModelError if no numeric folder contains a SavedModel."""
    versions = [path for path in package.iterdir() if path.name.isdecimal()]
    candidates = [path for path in versions if (path / "saved_model.pb").is_file()]
    if not candidates:
        raise ModelError("the model package has no version folder with a saved_model.pb (expected 1/)")
    return max(candidates, key=lambda path: int(path.name))


def read_signature(saved_model: bytes) -> Signature:
    """Return ``serving_default`` of a serialized SavedModel. Raise ModelError.

    Read the few fields from the wire format (saved_model.proto, meta_graph.proto), because the generated classes need
    the whole ``import tensorflow``.
    """
    for graph in _messages(saved_model, 2):
        tags = [tag for info in _messages(graph, 1) for tag in _messages(info, 4)]
        if b"serve" in tags:
            for name, definition in _map(graph, 5):
                if name == SIGNATURE:
                    return Signature(_tensors(definition, 1), _tensors(definition, 2))
    raise ModelError(f"the SavedModel has no signature named {SIGNATURE}")


def _tensors(definition: bytes, field: int) -> tuple[TensorSpec, ...]:
    specs = [_tensor(name, info) for name, info in _map(definition, field)]
    return tuple(sorted(specs, key=lambda spec: spec.name))


def _tensor(name: str, info: bytes) -> TensorSpec:
    fields = dict(_fields(info))
    number, tensor = fields.get(2), fields.get(1)
    if not isinstance(number, int) or number not in NUMPY_TYPES or not isinstance(tensor, bytes):
        raise ModelError(f"the signature's tensor {name} has a data type that cannot be served")
    shape = fields.get(3, b"")
    return TensorSpec(name, tensor.decode(), number, _shape(shape if isinstance(shape, bytes) else b""))


def _shape(message: bytes) -> tuple[int | None, ...] | None:
    if dict(_fields(message)).get(3):  # unknown_rank
        return None
    sizes = [dict(_fields(dimension)).get(1, 0) for dimension in _messages(message, 2)]
    return tuple(size if isinstance(size, int) and size < 1 << 63 else None for size in sizes)


def _map(message: bytes, field: int) -> Iterator[tuple[str, bytes]]:
    for entry in _messages(message, field):
        pair = dict(_fields(entry))
        key, value = pair.get(1, b""), pair.get(2, b"")
        if isinstance(key, bytes) and isinstance(value, bytes):
            yield key.decode(), value


def _messages(message: bytes, field: int) -> Iterator[bytes]:
    for number, value in _fields(message):
        if number == field and isinstance(value, bytes):
            yield value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field's number and value: an int for varints, bytes for everything else."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if kind == 2:
            size, position = _varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ModelError("saved_model.pb is not a SavedModel")
        if position + size > len(message):
            raise ModelError("saved_model.pb is cut off")
        yield key >> 3, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
    raise ModelError("saved_model.pb is cut off")
