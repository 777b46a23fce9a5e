"""Reading predictions.json: a well-formed file is accepted, any other is refused with the reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from mlops_cli.errors import MlopsError
from mlops_cli.evaluation.predictions import read_predictions

GOOD: dict[str, Any] = {
    "split": "test",
    "of": 2,
    "rows": ["0000000100000000", "0000000200000000"],
    "columns": {
        "toxic": {"kind": "label", "truth": [0, 1], "predicted": [0.1, 0.9], "threshold": 0.5},
        "price": {"kind": "number", "truth": [3, 4.5], "predicted": [3.5, 4]},
    },
    "trained_on": base64.b64encode(np.array([2, 7], "<u4").tobytes()).decode(),
}


def read(**changes: Any) -> Any:
    return read_predictions(json.dumps({**GOOD, **changes}).encode())


def column(**changes: Any) -> dict[str, Any]:
    return {"toxic": {**GOOD["columns"]["toxic"], **changes}}


def test_a_well_formed_file_is_accepted() -> None:
    predictions = read()
    assert (predictions.split, predictions.test_rows, predictions.rows) == ("test", 2, tuple(GOOD["rows"]))
    assert [(column.name, column.kind, column.threshold) for column in predictions.columns] == [
        ("toxic", "label", 0.5),
        ("price", "number", None),
    ]
    assert predictions.columns[1].predicted.tolist() == [3.5, 4.0]


def test_rows_that_the_model_has_learnt_are_known_by_their_heads() -> None:
    assert read().is_training_row(tuple(GOOD["rows"])).tolist() == [False, True]
    assert read(trained_on=None).is_training_row(tuple(GOOD["rows"])).tolist() == [False, False]
    assert read().is_training_row(("00000002 or not", "row 2", "")).tolist() == [True, False, False]


def test_rows_can_be_named_as_one_likes_unless_trained_on_is_given() -> None:
    assert read(rows=["a", "b"], trained_on=None).rows == ("a", "b")
    with pytest.raises(MlopsError, match="must begin with 8 hex digits"):
        read(rows=["a", "b"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ["a"], "trained_on": None}, "not one truth and one prediction"),
        ({"rows": [], "columns": {"toxic": {"kind": "label", "truth": [], "predicted": []}}}, "no row or no column"),
        ({"columns": {}}, "no row or no column"),
        ({"columns": column(truth=[0, 2])}, "not only 0 and 1"),
        ({"columns": column(predicted=[0.1, None])}, "a value that is no number"),
        ({"columns": column(predicted=[0.1, "x"])}, "could not convert"),
        ({"columns": column(kind="colour")}, "is of kind 'colour'"),
        ({"columns": {"toxic": {"kind": "label"}}}, "'truth' is missing"),
        ({"columns": []}, "has no attribute"),
        ({"of": "many"}, "invalid literal"),
        ({"columns": column(predicted=[0.1, 10**400])}, "too large"),
        ({"columns": column(threshold=10**400)}, "too large"),
        ({"row_metrics": {"cost": {"values": [10**400, 1], "function": "f"}}}, "too large"),
        ({"table_metrics": {"cost": {"value": 10**400, "resamples": [], "function": "f"}}}, "too large"),
        ({"trained_on": "%%"}, "base64"),
        ({"trained_on": "AAA="}, "buffer size"),
    ],
)
def test_a_malformed_file_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MlopsError) as error:
        read(**changes)
    assert error.value.message.startswith("predictions.json is not valid: ")
    assert message in error.value.message


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b'{"rows": []}', b"[" * 100_000, b'{"of": 1e999}']
)
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(MlopsError, match="is not valid"):
        read_predictions(content)
