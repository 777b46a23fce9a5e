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
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

# The rows are in the order of a hash, so the first ones are a fair sample.
MOST_ROWS = 20_000
# Four bytes for each row. With more training rows, the names are left out.
MOST_TRAINED_ON = 20_000_000


def write(
    folder: Path,
    texts: pl.Series,
    truth: np.ndarray,
    scores: np.ndarray,
    thresholds: dict[str, float | None],
    trained_on: np.ndarray | None,
) -> None:
    """Write both files. ``truth`` and ``scores`` are [rows, labels], with the labels in the order of ``thresholds``.

    ``texts``: those of the first rows. ``trained_on``: from ``row_prefixes``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "split": "test",
        "of": len(truth),
        "rows": [_digest(text.encode()).hex() for text in texts],
        "columns": {
            label: _column(truth[: len(texts), index], scores[: len(texts), index], threshold)
            for index, (label, threshold) in enumerate(thresholds.items())
        },
    }
    if trained_on is not None:
        content["trained_on"] = base64.b64encode(np.sort(trained_on).astype("<u4").tobytes()).decode()
    _write_json(folder / "predictions.json", content)
    _write_json(folder / "instances.json", texts.to_list())


def row_prefixes(batches: Iterable[np.ndarray]) -> np.ndarray:
    """Return, from arrays of bytes, the first 4 bytes of each text's name as numbers."""
    prefixes = [np.frombuffer(b"".join(_digest(text)[:4] for text in batch), ">u4") for batch in batches]
    return np.concatenate([np.array([], np.int64), *prefixes])


def _column(truth: np.ndarray, scores: np.ndarray, threshold: float | None) -> dict[str, Any]:
    """Return a column. Five digits are more than the model's precision and halve the file."""
    predicted = [float(f"{score:.5g}") for score in scores.tolist()]
    return {"kind": "label", "truth": truth.astype(int).tolist(), "predicted": predicted, "threshold": threshold}


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).digest()


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
