"""Train the comment classifier; as a SageMaker training job in script mode, or by hand:

    SM_CHANNEL_TRAIN=/tmp/dataset/train SM_CHANNEL_VALIDATION=/tmp/dataset/validation \\
    SM_CHANNEL_TEST=/tmp/dataset/test SM_MODEL_DIR=/tmp/model SM_OUTPUT_DATA_DIR=/tmp/output \\
    PYTHONPATH="$(python -c 'import mlops_cli; print(*mlops_cli.__path__)')/core/bootstrap" \\
    python train.py --epochs 2 --seed 42

Writes the input of the TensorFlow Serving container to SM_MODEL_DIR (1/ is the SavedModel, code/ its handlers), and
metrics.json and the files of predictions.py to SM_OUTPUT_DATA_DIR. The same data, hyperparameters and machine give the
same weights, bit for bit.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow imports Keras 3, which takes as long as its own import and which this training does not use. With this
# variable it tries tf_keras instead, which is not installed.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from common import usecase
from common.hyperparameters import Hyperparameters
from evaluation import metrics, predictions
from fitting.arguments import parse
from fitting.checkpoints import Checkpoints
from fitting.dataset import EmptySplit, Split, open_split
from fitting.distributed import DistributedContext, connect, is_sharded, read_hosts
from fitting.local_workers import run_workers
from fitting.trainer import Diverged, Predictions, Trainer, label_rates, log_loss
from model.calibration import Calibration, calibrate, read_rates, representative, uncalibrated
from model.features import Featurizer
from model.network import OUTPUTS, Classifier, Network
from model.vocabulary import ENOUGH_TEXTS, choose_words, count_words
from monitoring import text_statistics

# Their durations are in metrics.json.
PARTS = ("preparation", "training", "evaluation", "export")
# Validation is predicted after each epoch: the first rows, about this number, which are a random sample.
VALIDATED_ROWS = 200_000


class Evaluation(NamedTuple):
    """Calibration, thresholds and metrics for the real rates of the labels."""

    calibration: Calibration
    thresholds: dict[str, float | None]
    metrics: dict[str, metrics.Metrics]
    # The first test rows, their probabilities [rows, labels], and the weights that adapt them.
    first: Predictions
    scores: np.ndarray
    weights: np.ndarray


def train(
    hyperparameters: Hyperparameters,
    folders: dict[str, Path],
    checkpoint_folder: Path | None,
    context: DistributedContext,
) -> None:
    """Open the splits, choose the vocabulary, train, evaluate, export."""
    tf.config.experimental.enable_op_determinism()
    times, labels, text = [time.monotonic()], usecase.labels(), usecase.text_column()
    share = (0, 1) if is_sharded(os.environ, "train") else (context.rank, context.world_size)
    training = open_split(folders["train"], text, labels, *share)
    validation, test = (open_split(folders[name], text, labels) for name in ("validation", "test"))
    validation = validation.limited(VALIDATED_ROWS)
    counted = ENOUGH_TEXTS // context.world_size
    words, counts = (context.gather(part) for part in count_words(training.texts(), counted))
    vocabulary = choose_words(words, counts, hyperparameters.min_count, hyperparameters.words)
    featurizer = Featurizer(vocabulary)
    rows, *positives = context.sum(np.array([len(training), *training.label_counts()])).tolist()
    rates = label_rates(np.array(positives), rows)
    with context.strategy.scope():
        network = Network(featurizer.words, rates, hyperparameters)
    trainer = Trainer(network, featurizer, hyperparameters, training, rates, context)
    data = context.gather(np.frombuffer(training.digest(), np.int32).astype(np.int64)).tolist()
    identity = [asdict(hyperparameters), vocabulary.digest, data, context.devices]
    checkpoints = Checkpoints(checkpoint_folder, identity, network=network, optimizer=trainer.optimizer)
    times.append(time.monotonic())

    history, validated = fit(trainer, hyperparameters.epochs, validation, checkpoints, context)
    print(f"weights {network.digest}", flush=True)
    names_rows = rows <= predictions.MOST_TRAINED_ON
    trained_on = context.gather(predictions.row_prefixes(training.texts(), len(training))) if names_rows else None
    times.append(time.monotonic())
    if validated is None:
        return context.wait()

    evaluation = evaluate(trainer, read_rates(hyperparameters.base_rates, labels), validated, validation, test)
    if trained_on is not None:
        trained_on = np.concatenate([trained_on, predictions.row_prefixes(validation.texts(), len(validation))])
    texts, first = test.first_texts(predictions.MOST_ROWS), evaluation.first
    columns = predictions.columns(evaluation.thresholds, first.labels, evaluation.scores)
    predictions.write(folders["output"], texts, len(test), columns, trained_on)
    times.append(time.monotonic())

    served = Network(featurizer.words, rates, hyperparameters).copy_weights(network)  # independent of the strategy
    export(Classifier(featurizer, served, evaluation.calibration), folders["model"], labels)
    outputs = (part.tolist() for part in (evaluation.scores, first.word_counts, first.unknown_shares))
    answers = [dict(zip(OUTPUTS, row, strict=True)) for row in zip(*outputs, strict=True)]
    weights = evaluation.weights.tolist()
    text_statistics.export(folders["model"] / "code", folders["output"], texts.to_list(), answers, labels, weights)
    times.append(time.monotonic())
    report = {
        "metrics": evaluation.metrics,
        "history": history,
        "rows": {"train": rows, "validation": len(validation), "test": len(test)},
        "words": len(vocabulary),
        "hyperparameters": asdict(hyperparameters),
        "seconds": dict(zip(PARTS, np.diff(times).round(2).tolist(), strict=True)),
    }
    write_json(folders["output"] / "metrics.json", report)
    checkpoints.clear()
    return context.wait()


def fit(
    trainer: Trainer, epochs: int, validation: Split, checkpoints: Checkpoints, context: DistributedContext
) -> tuple[list[dict[str, Any]], Predictions | None]:
    """Train the remaining epochs. Return the points of their curves and, on the chief, the last predictions."""
    history, predicted = trainer.resume(checkpoints), None
    for epoch in range(len(history) + 1, epochs + 1):
        history.append({"epoch": epoch, "loss": trainer.epoch(epoch, history, checkpoints)})
        if context.is_chief:
            predicted = trainer.predict(validation)
            scores = uncalibrated(predicted.labels.shape[1]).probabilities(predicted.logits)
            measured = metrics.evaluate(
                predicted.labels, scores, np.ones(len(scores)), dict.fromkeys(validation.labels)
            )
            loss, auc = log_loss(predicted.labels, scores), measured["macro"]["roc_auc"]
            history[-1] |= {"validation_loss": loss, "validation_roc_auc": auc}
            print(" ".join(f"{name} {value}" for name, value in history[-1].items()), flush=True)
        if epoch < epochs:
            trainer.save(history, checkpoints)
    return history, predicted


def evaluate(
    trainer: Trainer, rates: dict[str, float], validated: Predictions, validation: Split, test: Split
) -> Evaluation:
    """Choose calibration and thresholds with the validation rows. Measure these and the test rows, block by block."""
    labels = [*test.labels]
    reweight, reweight_test = (
        representative(labels, *split.label_combinations(), rates) for split in (validation, test)
    )
    weights = reweight.of(validated.labels)
    calibration = calibrate(validated.logits, validated.labels, weights)
    scores = calibration.probabilities(validated.logits)
    thresholds = metrics.thresholds(labels, validated.labels, scores, weights)
    tally, blocks = metrics.Tally(thresholds), trainer.predict_blocks(test)
    first = next(blocks)
    for block in chain([first], blocks):
        tally.add(block.labels, calibration.probabilities(block.logits), reweight_test.of(block.labels))
    measured = {
        "validation": metrics.evaluate(validated.labels, scores, weights, thresholds),
        "test": tally.metrics(),
    }
    first = Predictions(*(part[: predictions.MOST_ROWS] for part in first))
    scores, weights = calibration.probabilities(first.logits), reweight_test.of(first.labels)
    return Evaluation(calibration, thresholds, measured, first, scores, weights)


def export(classifier: Classifier, folder: Path, labels: list[str]) -> None:
    """Write the content of the model package. TensorFlow Serving needs the folder 1/, a version."""
    classifier.save(str(folder / "1"))
    (folder / "1" / "fingerprint.pb").unlink()  # a random id: without it the same inputs give the same package
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("inference.py"), code / "inference.py")
    write_json(code / "labels.json", labels)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main() -> None:
    hyperparameters, folders, checkpoint_folder = parse(sys.argv[1:], __doc__)
    hosts, current = read_hosts(os.environ)
    if hyperparameters.workers > len(hosts) == 1:
        sys.exit(run_workers(hyperparameters.workers, [sys.executable, *sys.argv]))
    try:
        train(hyperparameters, folders, checkpoint_folder, connect(hosts, current))
    except (Diverged, EmptySplit, OSError) as error:
        sys.exit(f"train.py: {error}")
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        sys.exit(f"train.py: another worker is gone; start again to resume from the checkpoint. {error.message}")


if __name__ == "__main__":
    main()
