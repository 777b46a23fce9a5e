"""The project's own model as training/train.py trains it, and each of its halves alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

import metrics
import numpy as np
import tensorflow as tf
import usecase
from batches import Table, read_table
from calibration import Calibration, calibrate, plain, read_rates, representative_weights
from checkpoints import Checkpoints, Notes
from features import Featurizer
from lexicon import learn_lexicon
from team import assemble
from trainer import Trainer, label_rates

from benchmarks.contestants.data import LABELS, Report, Split, run
from common.hyperparameters import Hyperparameters
from mlops_cli.project.usecase import load_use_case
from model import Network

BASE_RATES = load_use_case(usecase.PATH).hyperparameters["train"]["base_rates"]


def train(_rows: Split, _held_out: Split, seed: int, report: Report) -> None:
    settings = Hyperparameters.of_use_case(seed=seed, checkpoint_seconds=0)
    team = assemble([""], "")
    tf.config.experimental.enable_op_determinism()
    report.begin()
    rows, validation, held_out = (
        read_table(Path(sys.argv[1]) / name, "comment_text", LABELS) for name in ("train", "validation", "test")
    )
    featurizer = Featurizer(learn_lexicon(rows.batches(), settings.min_count, settings.words, settings.ngrams))
    network = Network(featurizer, label_rates(rows.labels), settings, seed)
    report.prepared()
    trainer = Trainer(network, featurizer, settings, rows, team)
    steps = settings.epochs * (len(rows) // settings.batch_size)
    for epoch in range(1, settings.epochs + 1):
        trainer.epoch(epoch, [], Measuring(report, steps, lambda: probabilities(trainer, held_out)))
    report.trained(settings.epochs * len(rows))
    score(trainer, held_out, calibrated(trainer, validation), report)


class Measuring(Checkpoints):
    """Measures a point of the curve where a checkpoint would be saved, which is after every step."""

    def __init__(self, report: Report, steps: int, predict: Callable[[], np.ndarray]) -> None:
        super().__init__(None, [])
        self._report, self._steps, self._predict = report, steps, predict

    def save(self, step: int, notes: Notes) -> None:
        self._report.point(step / self._steps, self._predict)


def probabilities(trainer: Trainer, table: Table) -> np.ndarray:
    return plain(len(LABELS)).probabilities(*trainer.predict(table))


def score(trainer: Trainer, held_out: Table, calibration: Calibration, report: Report) -> None:
    logits = trainer.predict(held_out)
    probabilities = calibration.probabilities(*logits)
    report.scores("ours", probabilities)
    report.scores("its LSTM half alone", logits.deep)
    report.scores("its wide half alone", logits.wide)
    report.content["calibration"] = calibration_errors(held_out, probabilities)


def calibrated(trainer: Trainer, validation: Table) -> Calibration:
    """As train.py does it."""
    return calibrate(*trainer.predict(validation), validation.labels, natural_weights(validation))


def natural_weights(table: Table) -> np.ndarray:
    return representative_weights(LABELS, table.labels, read_rates(BASE_RATES, LABELS))


def calibration_errors(held_out: Table, probabilities: np.ndarray) -> dict[str, list[float]]:
    """Expected calibration errors of the labels; and those that toxic would show if its probabilities were true."""
    weights, random = natural_weights(held_out), np.random.default_rng(42)
    columns = zip(held_out.labels.T, probabilities.T, strict=True)
    toxic = probabilities[:, LABELS.index("toxic")]
    drawn = (random.random(len(toxic)) < toxic for _ in range(1000))
    return {
        "labels": [metrics.calibration_error(truth, column, weights) for truth, column in columns],
        "toxic, if true": [metrics.calibration_error(truth, toxic, weights) for truth in drawn],
    }


if __name__ == "__main__":
    run(train)
