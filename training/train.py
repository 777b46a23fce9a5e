"""Train the comment classifier; as a SageMaker training job in script mode, or by hand:

    SM_CHANNEL_TRAIN=/tmp/dataset/train SM_CHANNEL_VALIDATION=/tmp/dataset/validation \\
    SM_CHANNEL_TEST=/tmp/dataset/test SM_MODEL_DIR=/tmp/model SM_OUTPUT_DATA_DIR=/tmp/output \\
    python train.py --epochs 2 --seed 42

Writes the input of the TensorFlow Serving container to SM_MODEL_DIR (1/ is the SavedModel, code/ its handlers), and
metrics.json and the files of predictions.py to SM_OUTPUT_DATA_DIR. The same data, hyperparameters and machine give the
same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from common import usecase
from common.hyperparameters import Hyperparameters, add_arguments
from evaluation import metrics, predictions
from fitting.batches import EmptySplit, Table, read_table
from fitting.checkpoints import Checkpoints
from fitting.team import Team, assemble, hosts_of
from fitting.trainer import Diverged, Trainer, label_rates, log_loss
from fitting.workers import run_together
from model.calibration import Calibration, calibrate, plain, read_rates, representative_weights
from model.features import Featurizer
from model.lexicon import learn_lexicon
from model.network import Classifier, Logits, Network
from monitoring import traits


@dataclass(frozen=True)
class Folders:
    """The folders of script mode; ``checkpoints`` survives an interruption, if there is one."""

    train: Path
    validation: Path
    test: Path
    model: Path
    output: Path
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Splits:
    train: Table
    validation: Table
    test: Table


@dataclass(frozen=True)
class Assessment:
    """Calibration, thresholds and metrics of the trained network, for the rates of the population of use."""

    calibration: Calibration
    thresholds: dict[str, float | None]
    metrics: dict[str, metrics.Metrics]
    test_scores: np.ndarray
    test_weights: np.ndarray


def train_and_evaluate(hyperparameters: Hyperparameters, folders: Folders, team: Team) -> None:
    """Read the splits, train, calibrate, evaluate, export."""
    tf.config.experimental.enable_op_determinism()
    clock = Clock()
    labels = usecase.labels()
    splits = read_splits(folders, labels)
    words, ngrams = hyperparameters.words, hyperparameters.ngrams
    lexicon = learn_lexicon(splits.train.batches(), hyperparameters.min_count, words, ngrams)
    featurizer = Featurizer(lexicon)
    make_network = partial(Network, featurizer, label_rates(splits.train.labels), hyperparameters, hyperparameters.seed)
    with team.strategy.scope():
        network = make_network()
    clock.lap("preparation")

    trainer = Trainer(network, featurizer, hyperparameters, splits.train, team)
    identity = [asdict(hyperparameters), lexicon.digest, splits.train.digest, team.devices]
    checkpoints = Checkpoints(
        folders.checkpoints, identity, network=network, adam=trainer.adam, descent=trainer.descent
    )
    history, logits = fit(trainer, hyperparameters.epochs, splits.validation, checkpoints, team)
    clock.lap("training")
    print(f"weights {network.digest}", flush=True)
    if logits is None:
        return team.wait()

    rates = read_rates(hyperparameters.base_rates, labels)
    evaluation = assess(labels, rates, splits, logits, trainer.predict(splits.test))
    seen = (splits.train.strings, splits.validation.strings)
    test = splits.test.strings
    predictions.write(folders.output, test, splits.test.labels, evaluation.test_scores, evaluation.thresholds, seen)
    clock.lap("evaluation")

    served = make_network().taking_over(network)  # plain variables, independent of the strategy
    export(Classifier(featurizer, served, evaluation.calibration), folders.model, labels)
    vocabulary = traits.Vocabulary.learn(seen[0], hyperparameters.min_count, words)
    sample = slice(traits.MOST_ROWS)
    rows = (
        test[sample].to_list(),
        evaluation.test_scores[sample].tolist(),
        labels,
        evaluation.test_weights[sample].tolist(),
    )
    traits.export(folders.model / "code", folders.output, vocabulary, *rows)
    clock.lap("export")
    report = {
        "metrics": evaluation.metrics,
        "history": history,
        "rows": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        "words": len(lexicon.fingerprints),
        "ngrams": len(lexicon.buckets),
        "hyperparameters": asdict(hyperparameters),
        "seconds": clock.laps,
    }
    write_json(folders.output / "metrics.json", report)
    checkpoints.clear()
    return team.wait()


def read_splits(folders: Folders, labels: list[str]) -> Splits:
    text = usecase.text_column()
    return Splits(*(read_table(folder, text, labels) for folder in (folders.train, folders.validation, folders.test)))


def fit(
    trainer: Trainer, epochs: int, validation: Table, checkpoints: Checkpoints, team: Team
) -> tuple[list[dict[str, Any]], Logits | None]:
    """Train the remaining epochs; return the points of their curves, and on the chief the validation rows' logits."""
    history, logits = trainer.resume(checkpoints), None
    for epoch in range(len(history) + 1, epochs + 1):
        history.append({"epoch": epoch, "loss": trainer.epoch(epoch, history, checkpoints)})
        if team.is_chief:
            logits = trainer.predict(validation)
            history[-1] |= curves(validation, plain(validation.labels.shape[1]).probabilities(*logits))
            print(" ".join(f"{name} {value}" for name, value in history[-1].items()), flush=True)
        if epoch < epochs:
            trainer.save(history, checkpoints)
    return history, logits


def assess(
    labels: list[str], rates: dict[str, float], splits: Splits, logits: Logits, test_logits: Logits
) -> Assessment:
    """Return calibration and thresholds of the validation rows; metrics of these and of the test rows."""
    validation, test = splits.validation.labels, splits.test.labels
    weights, test_weights = (representative_weights(labels, truth, rates) for truth in (validation, test))
    calibration = calibrate(*logits, validation, weights)
    scores, test_scores = calibration.probabilities(*logits), calibration.probabilities(*test_logits)
    thresholds = metrics.thresholds(labels, validation, scores, weights)
    measured = {
        "validation": metrics.evaluate(labels, validation, scores, thresholds, weights),
        "test": metrics.evaluate(labels, test, test_scores, thresholds, test_weights),
    }
    return Assessment(calibration, thresholds, measured, test_scores, test_weights)


def curves(validation: Table, scores: np.ndarray) -> dict[str, float | None]:
    """Return an epoch's points on the training curves."""
    aucs = (metrics.roc_auc(truth, score) for truth, score in zip(validation.labels.T, scores.T, strict=True))
    return {
        "validation_loss": log_loss(validation.labels, scores),
        "validation_roc_auc": metrics.mean(list(aucs)),
    }


def export(classifier: Classifier, folder: Path, labels: list[str]) -> None:
    """Write the model package's content; TensorFlow Serving needs the folder 1/, a version."""
    classifier.save(str(folder / "1"))
    (folder / "1" / "fingerprint.pb").unlink()  # a random id: without it the same inputs give the same package
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("inference.py"), code / "inference.py")
    write_json(code / "labels.json", labels)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


class Clock:
    """Durations of the parts, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now


def parse(arguments: list[str]) -> tuple[Hyperparameters, Folders]:
    """Parse flags over SM_* variables; see `python train.py --help`."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--NAME VALUE ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, variable in {
        "train": "SM_CHANNEL_TRAIN",
        "validation": "SM_CHANNEL_VALIDATION",
        "test": "SM_CHANNEL_TEST",
        "model": "SM_MODEL_DIR",
        "output": "SM_OUTPUT_DATA_DIR",
    }.items():
        preset = os.environ.get(variable)
        parser.add_argument(
            f"--{name}-dir", type=Path, default=preset, required=not preset, help=f"default: {variable}"
        )
    checkpoints = os.environ.get("SM_CHECKPOINT_DIR")
    parser.add_argument("--checkpoint-dir", type=Path, default=checkpoints, help="default: SM_CHECKPOINT_DIR, or none")
    add_arguments(parser)
    values = vars(parser.parse_args(arguments))
    folders = Folders(**{field.name: values.pop(f"{field.name.removesuffix('s')}_dir") for field in fields(Folders)})
    try:
        read_rates(values["base_rates"], usecase.labels())
    except ValueError as error:
        parser.error(f"argument --base_rates: {error}")
    return Hyperparameters(**values), folders


def main() -> None:
    hyperparameters, folders = parse(sys.argv[1:])
    hosts, current = hosts_of(os.environ)
    if hyperparameters.workers > len(hosts) == 1:
        sys.exit(run_together(hyperparameters.workers, [sys.executable, *sys.argv]))
    try:
        train_and_evaluate(hyperparameters, folders, assemble(hosts, current))
    except (Diverged, EmptySplit, OSError) as error:
        sys.exit(f"train.py: {error}")
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        sys.exit(f"train.py: another worker is gone; start again to resume from the checkpoint. {error.message}")


if __name__ == "__main__":
    main()
