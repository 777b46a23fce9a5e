"""TensorFlow's C API through ctypes: load a SavedModel, run it.

Serving needs the runtime, not the Python package: importing ``tensorflow`` takes three seconds and 200 MB (Keras, SciPy
and 3,000 modules), the shared library a third of a second. TensorFlow's version guarantees cover the C API, and
TensorFlow Serving is built from the same runtime.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_cli.packaging.install_hint import install_command

Array = NDArray[Any]

STRING = 7
# TensorFlow's DataType numbers (types.proto) of the tensors that have a JSON form.
NUMPY_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    STRING: np.dtype(object),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
TENSORFLOW_TYPES = {dtype: number for number, dtype in NUMPY_TYPES.items()}
TSTRING_BYTES = 24


class TensorFlowError(Exception):
    """An error of TensorFlow's runtime. ``code``: its canonical status code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_callers_fault(self) -> bool:
        """Return True for INVALID_ARGUMENT, FAILED_PRECONDITION and OUT_OF_RANGE, which the sent values cause."""
        return self.code in (3, 9, 11)


class _Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "TF_NewStatus": (c_void_p, ()),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_SetConfig": (None, (c_void_p, c_char_p, c_size_t, c_void_p)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, c_void_p, c_void_p),
    ),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_SessionRun": (
        None,
        (
            *(c_void_p, c_void_p, POINTER(_Output), POINTER(c_void_p), c_int),
            *(POINTER(_Output), POINTER(c_void_p), c_int, c_void_p, c_int, c_void_p, c_void_p),
        ),
    ),
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_StringCopy": (None, (c_void_p, c_char_p, c_size_t)),
    "TF_StringDealloc": (None, (c_void_p,)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
}


def _library() -> Any:
    """Return the C API's functions of the installed TensorFlow, found without importing it."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"TensorFlow is not installed: {install_command('local')}")
    folder = Path(next(iter(spec.submodule_search_locations)))
    # The names are the wheels': libtensorflow_cc.so.2, libtensorflow_cc.2.dylib.
    suffix = "2.dylib" if sys.platform == "darwin" else "so.2"
    framework = ctypes.CDLL(str(folder / f"libtensorflow_framework.{suffix}"), mode=ctypes.RTLD_GLOBAL)
    complete = ctypes.CDLL(str(folder / f"libtensorflow_cc.{suffix}"))
    functions = type("Functions", (), {"libraries": (framework, complete)})
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(complete, name)
        function.restype, function.argtypes = result, arguments
        setattr(functions, name, staticmethod(function))
    return functions


class Session:
    """One loaded SavedModel. Several threads may call ``run``, which releases the GIL."""

    def __init__(self, folder: Path, intra_threads: int, inter_threads: int) -> None:
        """Load the SavedModel. Raise TensorFlowError if that fails."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        self._c = _library()
        self._graph = self._c.TF_NewGraph()
        status, options = self._c.TF_NewStatus(), self._c.TF_NewSessionOptions()
        try:
            # ConfigProto: field 2 is intra_op_parallelism_threads, field 5 inter_op_parallelism_threads.
            config = bytes((2 << 3, intra_threads, 5 << 3, inter_threads))
            self._c.TF_SetConfig(options, config, len(config), status)
            tags = (c_char_p * 1)(b"serve")
            self._session = self._c.TF_LoadSessionFromSavedModel(
                options, None, str(folder).encode(), tags, 1, self._graph, None, status
            )
            self._check(status)
        finally:
            self._c.TF_DeleteSessionOptions(options)
            self._c.TF_DeleteStatus(status)

    def run(self, feeds: dict[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Return the values of the tensors ``fetches`` ("name:0") for the input values ``feeds``.

        String tensors are object arrays of bytes. Raise TensorFlowError.
        """
        inputs = (_Output * len(feeds))(*map(self._output, feeds))
        outputs = (_Output * len(fetches))(*map(self._output, fetches))
        values = (c_void_p * len(feeds))()
        results = (c_void_p * len(fetches))()
        status = self._c.TF_NewStatus()
        try:
            for position, array in enumerate(feeds.values()):
                values[position] = self._tensor(array)
            self._c.TF_SessionRun(
                self._session,
                *(None, inputs, values, len(feeds), outputs, results, len(fetches), None, 0, None, status),
            )
            self._check(status)
            return [self._array(result) for result in results if result is not None]
        finally:
            for array, value in zip(feeds.values(), values, strict=True):
                self._free(value, array.size if array.dtype == object else 0)
            for result in results:
                self._free(result, 0)
            self._c.TF_DeleteStatus(status)

    def _check(self, status: int) -> None:
        code = self._c.TF_GetCode(status)
        if code:
            raise TensorFlowError(code, self._c.TF_Message(status).decode("utf-8", "replace"))

    def _output(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        operation_handle = self._c.TF_GraphOperationByName(self._graph, operation.encode())
        if not operation_handle:
            raise TensorFlowError(5, f"the SavedModel has no tensor {name}")
        return _Output(operation_handle, int(index or 0))

    def _tensor(self, array: Array) -> int:
        is_string = array.dtype == object
        size = array.size * TSTRING_BYTES if is_string else array.nbytes
        dimensions = (c_int64 * array.ndim)(*array.shape)
        number = TENSORFLOW_TYPES[array.dtype]
        tensor: int = self._c.TF_AllocateTensor(number, dimensions, array.ndim, size)
        data = self._c.TF_TensorData(tensor)
        if is_string:
            ctypes.memset(data, 0, size)  # an all-zero TF_TString is a valid empty one
            for position, text in enumerate(array.ravel()):
                self._c.TF_StringCopy(data + position * TSTRING_BYTES, text, len(text))
        elif size:
            contiguous = np.ascontiguousarray(array)
            ctypes.memmove(data, contiguous.ctypes.data, size)
        return tensor

    def _free(self, tensor: int | None, strings: int) -> None:
        """Free an input tensor. TensorFlow frees its buffer, but not the strings that were put into it."""
        if not tensor:
            return
        data = self._c.TF_TensorData(tensor) if strings else 0
        for position in range(strings):
            self._c.TF_StringDealloc(data + position * TSTRING_BYTES)
        self._c.TF_DeleteTensor(tensor)

    def _array(self, tensor: int) -> Array:
        shape = tuple(self._c.TF_Dim(tensor, axis) for axis in range(self._c.TF_NumDims(tensor)))
        number, data = self._c.TF_TensorType(tensor), self._c.TF_TensorData(tensor)
        if number not in NUMPY_TYPES:
            raise TensorFlowError(12, f"an output has TensorFlow's data type {number}, which has no JSON form")
        array: Array = np.empty(shape, NUMPY_TYPES[number])
        if number == STRING:
            array.ravel()[:] = [self._text(data + position * TSTRING_BYTES) for position in range(array.size)]
        elif array.nbytes:
            ctypes.memmove(array.ctypes.data, data, array.nbytes)
        return array

    def _text(self, address: int) -> bytes:
        size = self._c.TF_StringGetSize(address)
        return ctypes.string_at(self._c.TF_StringGetDataPointer(address), size)
