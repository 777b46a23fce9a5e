"""The predictions of a training's test rows, as mlops reads them."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation import predictions
from mlops_cli.evaluation.predictions import read_predictions

TEXTS = pl.Series(["one", "zwei ü", 'quote " \\ </script>'])
TRUTH = np.array([[0, 1], [1, 1], [0, 0]], np.float32)
SCORES = np.array([[0.123456789, 0.9], [1e-12, 0.5], [1.0, 0.0]], np.float32)


def write(folder: Path, *trained_on: np.ndarray, texts: pl.Series = TEXTS) -> None:
    prefixes = predictions.row_prefixes(trained_on, sum(map(len, trained_on)))
    count = len(texts)
    columns = predictions.columns({"toxic": 0.4, "threat": None}, TRUTH[:count], SCORES[:count])
    predictions.write(folder, texts, len(TRUTH), columns, prefixes)


def test_written_predictions_are_read_unchanged(tmp_path: Path) -> None:
    write(tmp_path)
    predictions = read_predictions((tmp_path / "predictions.json").read_bytes())
    toxic, threat = predictions.columns
    assert (toxic.name, toxic.kind, toxic.threshold) == ("toxic", "label", 0.4)
    assert (threat.threshold, threat.truth.tolist()) == (None, [1, 1, 0])
    assert toxic.predicted == pytest.approx(SCORES[:, 0], rel=1e-4)
    assert json.loads((tmp_path / "instances.json").read_text()) == TEXTS.to_list()


def test_a_row_has_the_same_name_in_every_run(tmp_path: Path) -> None:
    write(tmp_path)
    names = read_predictions((tmp_path / "predictions.json").read_bytes()).rows
    assert names[1] == blake2b("zwei ü".encode(), digest_size=8).hexdigest()


def test_the_training_rows_are_recorded(tmp_path: Path) -> None:
    write(tmp_path, np.array([b"one", b"another"]), np.array([b"third"]))
    predictions = read_predictions((tmp_path / "predictions.json").read_bytes())
    assert predictions.is_training_row(predictions.rows).tolist() == [True, False, False]


def test_each_of_many_training_rows_is_recorded(tmp_path: Path) -> None:
    """The file has them in pieces, and the last piece is shorter."""
    texts = [f"row {number}".encode() for number in range(2 * predictions.PIECE + 7)]
    write(tmp_path, np.array(texts))
    read = read_predictions((tmp_path / "predictions.json").read_bytes())
    names = [blake2b(text, digest_size=8).hexdigest() for text in texts[::997]]
    assert read.is_training_row(names).all()
    assert not read.is_training_row(read.rows).any()


def test_of_very_many_rows_the_first_are_kept(tmp_path: Path) -> None:
    write(tmp_path, texts=TEXTS.head(2))
    predictions = read_predictions((tmp_path / "predictions.json").read_bytes())
    assert (predictions.test_rows, len(predictions.rows), len(predictions.columns[0].truth)) == (3, 2, 2)
    assert len(json.loads((tmp_path / "instances.json").read_text())) == 2
