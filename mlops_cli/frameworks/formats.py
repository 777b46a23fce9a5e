"""Convert request and response bodies of the serving containers between JSON, CSV or NPY and arrays.

The two toolkits differ in CSV: sagemaker-inference reads with ``genfromtxt``, sagemaker-containers cell by cell.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

from mlops_cli.frameworks.base import CSV, JSON, NPY

INDENT = 12 * " "  # the containers' message contains it


class UnsupportedFormatError(Exception):
    """The default functions do not support this content type."""

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by this framework.\n\n"
            f"{INDENT}Please implement input_fn to to deserialize the request data or an output_fn to\n"
            f"{INDENT}serialize the response. For more information, see the SageMaker Python SDK README."
        )


def csv_numbers(text: str) -> Any:
    import numpy as np

    return np.genfromtxt(io.StringIO(text), dtype=None, delimiter=",")


def csv_cells(text: str) -> Any:
    import numpy as np

    array = np.array(list(csv.reader(io.StringIO(text), strict=True))).squeeze()
    try:
        return array.astype(float)
    except ValueError:
        return array


def decode(body: Any, content_type: str) -> Any:
    """Return the array as sagemaker-inference does. Raise UnsupportedFormatError."""
    return _decode(body, content_type, csv_numbers)


def decode_cells(body: Any, content_type: str) -> Any:
    """Return the array as sagemaker-containers does. Raise UnsupportedFormatError."""
    return _decode(body, content_type, csv_cells)


def _decode(body: Any, content_type: str, read_csv: Callable[[str], Any]) -> Any:
    import numpy as np

    if content_type == JSON:
        return np.array(json.loads(body))
    if content_type == CSV:
        return read_csv(body)
    if content_type == NPY:
        # The containers allow pickles here, so a request can run code. This server does not allow them.
        return np.load(io.BytesIO(body), allow_pickle=False)
    raise UnsupportedFormatError(content_type)


def to_csv_numbers(array: Any) -> str:
    import numpy as np

    stream = io.StringIO()
    np.savetxt(stream, array, delimiter=",", fmt="%s")
    return stream.getvalue()


def to_csv_cells(array: Any) -> str:
    import numpy as np

    rows = np.array(array)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", strict=True).writerows(rows.reshape(-1, 1) if rows.ndim == 1 else rows)
    return stream.getvalue()


def to_json(array: Any) -> str:
    def default(value: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else json.JSONEncoder().default(value)

    return json.dumps(array, default=default)


def encode_cells(array: Any, accept: str) -> tuple[str | bytes, str]:
    """Return body and content type as sagemaker-containers does. Raise UnsupportedFormatError."""
    return _encode(array, accept, to_csv_cells), accept


def encode(array: Any, accept: str) -> tuple[str | bytes, str]:
    """Return body and content type as sagemaker-inference does: the first accepted type that is supported."""
    for content_type in accept.replace(" ", "").split(","):
        if content_type in (JSON, CSV, NPY):
            return _encode(array, content_type, to_csv_numbers), content_type
    raise UnsupportedFormatError(accept)


def _encode(array: Any, accept: str, write_csv: Callable[[Any], str]) -> str | bytes:
    import numpy as np

    if accept == JSON:
        return to_json(array)
    if accept == CSV:
        return write_csv(array)
    if accept == NPY:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        return stream.getvalue()
    raise UnsupportedFormatError(accept)
