"""The model's predictions for the test rows, for the report and for comparisons with another model.

Two files in SM_OUTPUT_DATA_DIR. Any script can write them; both are optional (`mlops report` shows those that exist):

predictions.json
    split       "test": the split of metrics.json that contains these rows
    of          the number of rows of that split: at most MOST_ROWS of them are here
    rows        one name for each row, the same in every run for the same input: here the first 16 hex digits of
                blake2b(text). Two models are compared on the rows with equal names.
    columns     {"toxic": {"kind": "label", "truth": [0, 1, ...], "predicted": [0.0123, 0.98, ...],
                "threshold": 0.397}, ...}: a label's probabilities, and the threshold from which on it counts as
                positive (or null). A column of kind "number" has the true and the predicted values, and no threshold.
    trained_on  (optional) the training rows, on which the model is never compared: the first 4 bytes of each name,
                sorted, as little-endian 32-bit numbers in base64
instances.json
    the input of each row, as the endpoint accepts it: ["a text", ...]
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_scripts import outputs

# The rows are in the order of a hash, so the first ones are a fair sample.
MOST_ROWS = outputs.MOST_ROWS
# Four bytes for each row. With more training rows, the names are left out.
MOST_TRAINED_ON = 20_000_000
PIECE = 3 << 14  # a multiple of 3: of such pieces, the base64 texts one after the other are that of the whole


def columns(thresholds: Mapping[str, float | None], truth: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return the columns. ``truth`` and ``scores`` are [rows, labels], in the order of ``thresholds``."""
    items = enumerate(thresholds.items())
    return {label: outputs.labels(truth[:, n], scores[:, n], threshold) for n, (label, threshold) in items}


def write(folder: Path, texts: pl.Series, rows: int, columns: Mapping[str, Any], trained_on: np.ndarray | None) -> None:
    """Write both files. ``texts``: those of the first of ``rows``. ``trained_on``: from ``row_prefixes``."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [_digest(text.encode()).hex() for text in texts]
    content = {"split": "test", "of": rows, "rows": names, "columns": columns}
    with (folder / "predictions.json").open("w", encoding="utf-8") as file:
        file.write(_json(content).removesuffix("}"))
        if trained_on is not None:
            file.write(',"trained_on":"')
            trained_on.sort()  # in place, and written in pieces: of many rows, a copy is large
            prefixes = trained_on.astype("<u4", copy=False)
            for start in range(0, len(prefixes), PIECE):
                file.write(base64.b64encode(prefixes[start : start + PIECE].tobytes()).decode())
            file.write('"')
        file.write("}\n")
    (folder / "instances.json").write_text(_json(texts.to_list()) + "\n", encoding="utf-8")


def row_prefixes(batches: Iterable[np.ndarray], rows: int) -> np.ndarray:
    """Return, from arrays of bytes with ``rows`` texts, the first 4 bytes of each text's name as numbers."""
    numbers = (int.from_bytes(_digest(text)[:4], "big") for batch in batches for text in batch)
    return np.fromiter(numbers, np.uint32, rows)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).digest()


def _json(content: object) -> str:
    return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
