"""The project's own model as training/train.py trains it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

import numpy as np
import tensorflow as tf

from benchmarks.contestants.data import LABELS, Report, Split, run
from common import usecase
from common.hyperparameters import Hyperparameters
from evaluation import metrics
from fitting import dataset
from fitting.checkpoints import Checkpoints, Notes
from fitting.dataset import open_split
from fitting.distributed import connect
from fitting.trainer import Trainer, label_rates
from model.calibration import Weights, calibrate, read_rates, representative, uncalibrated
from model.features import Featurizer
from model.network import Network
from model.vocabulary import ENOUGH_TEXTS, choose_words, count_words

BASE_RATES = usecase.hyperparameters("train")["base_rates"]


def train(_rows: Split, _held_out: Split, seed: int, report: Report) -> None:
    settings = Hyperparameters.of_use_case(seed=seed, checkpoint_seconds=0)
    context = connect([""], "")
    tf.config.experimental.enable_op_determinism()
    report.begin()
    rows, validation, held_out = (
        open_split(Path(sys.argv[1]) / name, "comment_text", LABELS) for name in ("train", "validation", "test")
    )
    words = count_words(rows.texts(), ENOUGH_TEXTS)
    featurizer = Featurizer(choose_words(*words, settings.min_count, settings.words))
    rates = label_rates(rows.label_counts(), len(rows))
    network = Network(featurizer.words, rates, settings)
    report.prepared()
    trainer = Trainer(network, featurizer, settings, rows, rates, context)
    steps = settings.epochs * (len(rows) // settings.batch_size)
    for epoch in range(1, settings.epochs + 1):
        trainer.epoch(epoch, [], Measuring(report, steps, lambda: probabilities(trainer, held_out)))
    report.trained(settings.epochs * len(rows))
    predicted, tested = trainer.predict(validation), trainer.predict(held_out)
    calibration = calibrate(predicted.logits, predicted.labels, natural_weights(validation).of(predicted.labels))
    scores = calibration.probabilities(tested.logits)
    report.scores("ours", scores)
    report.content["calibration"] = calibration_errors(
        tested.labels, scores, natural_weights(held_out).of(tested.labels)
    )


class Measuring(Checkpoints):
    """Records a point of the curve where a checkpoint would be saved, which is after every step."""

    def __init__(self, report: Report, steps: int, predict: Callable[[], np.ndarray]) -> None:
        super().__init__(None, [])
        self._report, self._steps, self._predict = report, steps, predict

    def save(self, step: int, notes: Notes) -> None:
        self._report.point(step / self._steps, self._predict)


def probabilities(trainer: Trainer, split: dataset.Split) -> np.ndarray:
    return uncalibrated(len(LABELS)).probabilities(trainer.predict(split).logits)


def natural_weights(split: dataset.Split) -> Weights:
    return representative(LABELS, *split.label_combinations(), read_rates(BASE_RATES, LABELS))


def calibration_errors(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, list[float]]:
    """Return the labels' expected calibration errors, and those of toxic if its probabilities were true."""
    random = np.random.default_rng(42)
    columns = zip(truth.T, probabilities.T, strict=True)
    toxic = probabilities[:, LABELS.index("toxic")]
    drawn = (random.random(len(toxic)) < toxic for _ in range(1000))
    return {
        "labels": [calibration_error(of_label, column, weights) for of_label, column in columns],
        "toxic, if true": [calibration_error(of_label, toxic, weights) for of_label in drawn],
    }


def calibration_error(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    return float(np.abs(metrics.calibration_gaps(truth, scores, weights)).sum() / weights.sum())


if __name__ == "__main__":
    run(train)
