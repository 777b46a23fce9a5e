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

# The rows come in the order of a hash, so the first ones are a fair sample.
MOST_ROWS = 20_000


def write(
    folder: Path,
    texts: pl.Series,
    truth: np.ndarray,
    scores: np.ndarray,
    thresholds: dict[str, float | None],
    trained_on: Iterable[pl.Series],
) -> None:
    """Write both files; ``truth`` and ``scores`` are [rows, labels], the labels in the order of ``thresholds``."""
    kept = texts.head(MOST_ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "split": "test",
        "of": len(texts),
        "rows": [digest.hex() for digest in _digests(kept)],
        "columns": {
            label: _column(truth[: len(kept), index], scores[: len(kept), index], threshold)
            for index, (label, threshold) in enumerate(thresholds.items())
        },
        "trained_on": _packed(trained_on),
    }
    _write_json(folder / "predictions.json", content)
    _write_json(folder / "instances.json", kept.to_list())


def _column(truth: np.ndarray, scores: np.ndarray, threshold: float | None) -> dict[str, Any]:
    """Return a column. Five digits exceed the model's precision and halve the file."""
    predicted = [float(f"{score:.5g}") for score in scores.tolist()]
    return {"kind": "label", "truth": truth.astype(int).tolist(), "predicted": predicted, "threshold": threshold}


def _digests(texts: pl.Series) -> list[bytes]:
    return [blake2b(text, digest_size=8).digest() for text in texts.cast(pl.Binary).to_list()]


def _packed(parts: Iterable[pl.Series]) -> str:
    heads = b"".join(digest[:4] for part in parts for digest in _digests(part))
    return base64.b64encode(np.sort(np.frombuffer(heads, ">u4")).astype("<u4").tobytes()).decode()


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
