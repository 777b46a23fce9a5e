"""Trains the comment classifier; as a SageMaker training job in script mode, or by hand:

    SM_CHANNEL_TRAIN=/tmp/dataset/train SM_CHANNEL_VALIDATION=/tmp/dataset/validation \\
    SM_CHANNEL_TEST=/tmp/dataset/test SM_MODEL_DIR=/tmp/model SM_OUTPUT_DATA_DIR=/tmp/output \\
    python train.py --epochs 2 --seed 42

Writes to SM_MODEL_DIR what the TensorFlow Serving container wants (1/ is the SavedModel, code/ its handlers), and
to SM_OUTPUT_DATA_DIR metrics.json and what predictions.py describes. The same data, hyperparameters and machine give
the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import metrics
import predictions
import usecase
from batches import EmptySplit, Table, encode, read_table
from model import Classifier, Network, Shape
from text import Vectorizer, learn_vocabulary
from trainer import Diverged, Trainer, log_loss, positive_weights, predict


@dataclass(frozen=True)
class Hyperparameters:
    """Each is a flag of this script, and settable in usecase.toml under [hyperparameters.train]."""

    # How long and how fast to learn.
    epochs: int = 2
    batch_size: int = 64
    learning_rate: float = 0.012  # at its highest: it warms up, then falls to zero in a straight line
    warm_up: float = 0.05  # share of all steps
    clip_norm: float = 1.0  # a batch of odd comments must not throw the weights off

    # What the network sees and how large it is.
    vocabulary_size: int = 30_000
    min_count: int = 3  # a word seen less often is an unknown one
    embedding_size: int = 64
    lstm_units: int = 48  # in each direction

    # Against learning comments by heart.
    word_dropout: float = 0.1
    spatial_dropout: float = 0.3
    dropout: float = 0.2

    # A positive of a label with rate p weighs ((1 - p) / p) ** this: else rare labels are hardly learnt.
    positive_weight_power: float = 0.6

    seed: int = 42


@dataclass(frozen=True)
class Folders:
    """Where script mode says that data and results are."""

    train: Path
    validation: Path
    test: Path
    model: Path
    output: Path


def train_and_evaluate(hyperparameters: Hyperparameters, folders: Folders) -> dict[str, Any]:
    """Reads the splits, trains, evaluates, exports; returns what metrics.json says."""
    tf.config.experimental.enable_op_determinism()
    clock = Clock()
    labels, text = usecase.labels(), usecase.text_column()
    train, validation, test = (
        read_table(folder, text, labels) for folder in (folders.train, folders.validation, folders.test)
    )

    vocabulary = learn_vocabulary(train.batches(), hyperparameters.min_count, hyperparameters.vocabulary_size)
    vectorizer = Vectorizer(vocabulary)
    train_ids, validation_ids, test_ids = (encode(vectorizer, table) for table in (train, validation, test))
    clock.lap("preparation")

    weights = positive_weights(train.labels, hyperparameters.positive_weight_power)
    network = Network(vectorizer.size, len(labels), shape_of(hyperparameters), hyperparameters.seed)
    trainer = Trainer(network, weights, hyperparameters, train_ids, train.labels)
    history = []
    for epoch in range(1, hyperparameters.epochs + 1):
        loss = trainer.epoch(epoch)
        scores = predict(trainer.classify, validation_ids)
        history.append({"epoch": epoch, "loss": loss, **curves(validation, scores)})
        print(" ".join(f"{name} {value}" for name, value in history[-1].items()), flush=True)
    clock.lap("training")

    thresholds = metrics.thresholds(labels, validation.labels, scores)
    test_scores = predict(trainer.classify, test_ids)
    measured = {
        "validation": metrics.evaluate(labels, validation.labels, scores, thresholds),
        "test": metrics.evaluate(labels, test.labels, test_scores, thresholds),
    }
    seen = (train.texts, validation.texts)
    predictions.write(folders.output, test.texts, test.labels, test_scores, thresholds, seen)
    clock.lap("evaluation")

    export(Classifier(vectorizer, network, trainer.logit_shift), folders.model, labels)
    clock.lap("export")
    report = {
        "metrics": measured,
        "history": history,
        "rows": {"train": len(train), "validation": len(validation), "test": len(test)},
        "vocabulary": len(vocabulary),
        "hyperparameters": asdict(hyperparameters),
        "seconds": clock.laps,
    }
    write_json(folders.output / "metrics.json", report)
    return report


def shape_of(hyperparameters: Hyperparameters) -> Shape:
    return Shape(**{field.name: getattr(hyperparameters, field.name) for field in fields(Shape)})


def curves(validation: Table, scores: np.ndarray) -> dict[str, float | None]:
    """An epoch's points on the training curves."""
    aucs = (metrics.roc_auc(truth, score) for truth, score in zip(validation.labels.T, scores.T, strict=True))
    return {
        "validation_loss": log_loss(validation.labels, scores),
        "validation_roc_auc": metrics.mean(list(aucs)),
    }


def export(classifier: Classifier, folder: Path, labels: list[str]) -> None:
    """The model package's content; the folder 1/ is the version that TensorFlow Serving insists on."""
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
    """How many seconds each part took."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now


def parse(arguments: list[str]) -> tuple[Hyperparameters, Folders]:
    """Flags over SM_* variables; see `python train.py --help`."""
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
    for field in fields(Hyperparameters):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    values = vars(parser.parse_args(arguments))
    folders = Folders(**{field.name: values.pop(f"{field.name}_dir") for field in fields(Folders)})
    for name in ("epochs", "batch_size", "vocabulary_size", "min_count", "embedding_size", "lstm_units"):
        if values[name] < 1:
            parser.error(f"argument --{name}: {values[name]} is too small, expected at least 1")
    return Hyperparameters(**values), folders


def main() -> None:
    hosts = json.loads(os.environ.get("SM_HOSTS", "[]"))
    if len(hosts) > 1:
        sys.exit(f"train.py: cannot share the work of {len(hosts)} hosts yet; set the instance count to 1")
    hyperparameters, folders = parse(sys.argv[1:])
    try:
        train_and_evaluate(hyperparameters, folders)
    except (Diverged, EmptySplit, OSError) as error:
        sys.exit(f"train.py: {error}")


if __name__ == "__main__":
    main()
