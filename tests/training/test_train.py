"""train.py as a job: one short epoch, the export, and the same predictions after a reload elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scripts import HEADER, TINY, TRAINING, train
from sklearn.metrics import roc_auc_score

from mlops_cli.evaluation.predictions import read_predictions
from mlops_cli.files.model_archive import pack

pytestmark = pytest.mark.slow

LABELS = HEADER[2:]
PREDICT = """
import json, sys
sys.modules["keras"] = None  # its import takes as long as that of TensorFlow
import tensorflow as tf
models, batches = json.load(sys.stdin)
served = [tf.saved_model.load(model).signatures["serving_default"] for model in models]
answer = lambda serve, texts: serve(text=tf.constant(texts))["probabilities"].numpy().tolist()
print(json.dumps([[answer(serve, texts) for texts in batches] for serve in served]))
"""


def predict(models: list[Path], *batches: list[str]) -> list[list[list[list[float]]]]:
    """Return each model's probabilities [rows, labels] for each batch, from a process without access to training/."""
    request = json.dumps([[str(model / "model" / "1") for model in models], batches])
    done = subprocess.run([sys.executable, "-c", PREDICT], input=request, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    document: list[list[list[list[float]]]] = json.loads(done.stdout)
    return document


def area(truth: np.ndarray, scores: np.ndarray) -> Any:
    """Return the approximate ROC AUC; None without positives."""
    return pytest.approx(roc_auc_score(truth, scores), abs=1e-3) if truth.any() else None


def report(training: Path) -> Any:
    return json.loads((training / "output" / "metrics.json").read_text())


def test_the_reloaded_model_has_the_metrics_of_the_trained_one(tiny_training: Path, sample_dataset: Path) -> None:
    """The metrics were measured before the export, on ids. These come from the exported graph, on raw texts."""
    test = pl.concat([pl.read_parquet(path) for path in sorted((sample_dataset / "test").glob("*.parquet"))])
    scores = pl.DataFrame(predict([tiny_training], test["comment_text"].to_list())[0][0], orient="row").to_numpy()
    measured = report(tiny_training)["metrics"]["test"]
    for index, label in enumerate(LABELS):
        expected = measured[label]["roc_auc"]
        assert expected == area(test[label].to_numpy(), scores[:, index])


def test_predictions_are_equal_for_raw_and_cleaned_texts_and_for_batches_and_single_texts(tiny_training: Path) -> None:
    raw = ["  See\thttp://a.b/c?d \n\n", "YOU from 1.2.3.4!!!", "a\u00a0b"]
    cleaned = ["See url", "YOU from ipaddr!!!", "a b"]
    texts = ["one", "a longer text with more words in it", "", "x " * 500]
    (answers,) = predict([tiny_training], raw, cleaned, texts, *([text] for text in texts))
    assert answers[0] == answers[1]
    for row, (alone,) in zip(answers[2], answers[3:], strict=True):
        assert alone == pytest.approx(row, abs=1e-6)


def test_two_trainings_are_the_same_bit_for_bit(tiny_training: Path, sample_dataset: Path, tmp_path: Path) -> None:
    assert train(sample_dataset, tmp_path, *TINY).returncode == 0
    packages = [
        pack(folder / "model", tmp_path / f"{number}.tar.gz") for number, folder in enumerate((tiny_training, tmp_path))
    ]
    assert packages[0] == packages[1], "the same inputs and seed must give the same model, down to its digest"
    reports = [report(folder) for folder in (tiny_training, tmp_path)]
    assert [set(report.pop("seconds")) for report in reports] == 2 * [
        {"preparation", "training", "evaluation", "export"}
    ]
    assert reports[0] == reports[1]
    texts = ["You are an idiot.", "Thank you."]
    first, second = predict([tiny_training, tmp_path], texts)
    assert first == second


def test_the_model_package_has_the_form_that_the_container_needs(tiny_training: Path) -> None:
    files = {str(path.relative_to(tiny_training / "model")) for path in (tiny_training / "model").rglob("*.*")}
    assert {"1/saved_model.pb", "1/variables/variables.index", "code/inference.py", "code/labels.json"} <= files
    assert json.loads((tiny_training / "model" / "code" / "labels.json").read_text()) == LABELS
    assert (tiny_training / "model" / "code" / "inference.py").read_text() == (TRAINING / "inference.py").read_text()


def test_metrics_have_the_agreed_form(tiny_training: Path, sample_dataset: Path) -> None:
    result = report(tiny_training)
    for split in ("validation", "test"):
        assert list(result["metrics"][split]) == [*LABELS, "macro"]
        assert set(result["metrics"][split]["toxic"]) == {
            "roc_auc",
            "average_precision",
            "f1",
            "calibration_error",
            "threshold",
            "positives",
        }
    assert result["metrics"]["test"]["toxic"]["threshold"] == result["metrics"]["validation"]["toxic"]["threshold"]
    (epoch,) = result["history"]
    assert set(epoch) == {"epoch", "loss", "validation_loss", "validation_roc_auc"}
    profile = json.loads((sample_dataset / "profile.json").read_text())
    assert result["rows"] == {name: split["rows"] for name, split in profile["splits"].items()}


def test_the_predictions_are_those_that_were_measured(tiny_training: Path, sample_dataset: Path) -> None:
    predictions = read_predictions((tiny_training / "output" / "predictions.json").read_bytes())
    test = pl.concat([pl.read_parquet(path) for path in sorted((sample_dataset / "test").glob("*.parquet"))])
    measured = report(tiny_training)["metrics"]["test"]
    assert (predictions.split, predictions.test_rows, len(predictions.rows)) == ("test", test.height, test.height)
    assert [column.name for column in predictions.columns] == LABELS
    for column in predictions.columns:
        assert column.truth.tolist() == test[column.name].to_list()
        assert column.threshold == measured[column.name]["threshold"]
        expected = measured[column.name]["roc_auc"]
        assert expected == area(column.truth, column.predicted)
    assert json.loads((tiny_training / "output" / "instances.json").read_text()) == test["comment_text"].to_list()
    assert not predictions.is_training_row(predictions.rows).any()


def test_progress_lines_say_how_far_it_is(tiny_training: Path) -> None:
    lines = [line for line in (tiny_training / "log").read_text().splitlines() if line.startswith("progress ")]
    steps = -(-report(tiny_training)["rows"]["train"] // 128)
    assert re.fullmatch(rf"progress 1/{steps} epoch 1/1 loss \d\.\d{{4}}", lines[0])
    assert re.fullmatch(rf"progress {steps}/{steps} epoch 1/1 loss \d\.\d{{4}}", lines[-1])


def test_an_empty_split_is_one_clear_line(sample_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    for name in ("train", "validation"):
        (tmp_path / name).symlink_to(sample_dataset / name)
    done = train(tmp_path, tmp_path / "out", *TINY)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"train.py: {tmp_path / 'test'}: no rows in it")
