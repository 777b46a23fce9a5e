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
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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
from model.calibration import Calibration, calibrate, read_rates, representative_weights, uncalibrated
from model.features import Featurizer
from model.network import OUTPUTS, Classifier, Network
from model.vocabulary import ENOUGH_TEXTS, choose_words, count_words
from monitoring import text_statistics

# Their durations are in metrics.json.
PARTS = ("preparation", "training", "evaluation", "export")
# The first rows, at most this number, are a random sample. Validation is predicted after each epoch, test once.
EVALUATED_ROWS = {"validation": 200_000, "test": 2_000_000}


class Evaluation(NamedTuple):
    """Calibration, thresholds and metrics for the real rates of the labels. ``weights`` adapt the test rows."""

    calibration: Calibration
    thresholds: dict[str, float | None]
    metrics: dict[str, metrics.Metrics]
    test_scores: np.ndarray
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
    validation, test = (open_split(folders[name], text, labels).limited(most) for name, most in EVALUATED_ROWS.items())
    texts = ENOUGH_TEXTS // context.world_size
    words, counts = (context.gather(part) for part in count_words(training.texts(), texts))
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
    trained_on = context.gather(predictions.row_prefixes(training.texts())) if names_rows else None
    times.append(time.monotonic())
    if validated is None:
        return context.wait()

    tested, test_texts = trainer.predict(test), test.first_texts(predictions.MOST_ROWS)
    evaluation = evaluate(labels, read_rates(hyperparameters.base_rates, labels), validated, tested)
    if trained_on is not None:
        trained_on = np.concatenate([trained_on, predictions.row_prefixes(validation.texts())])
    scores = evaluation.test_scores
    predictions.write(folders["output"], test_texts, tested.labels, scores, evaluation.thresholds, trained_on)
    times.append(time.monotonic())

    served = Network(featurizer.words, rates, hyperparameters).copy_weights(network)  # independent of the strategy
    export(Classifier(featurizer, served, evaluation.calibration), folders["model"], labels)
    outputs = (part[: len(test_texts)].tolist() for part in (scores, tested.word_counts, tested.unknown_shares))
    answers = [dict(zip(OUTPUTS, row, strict=True)) for row in zip(*outputs, strict=True)]
    weights = evaluation.weights[: len(test_texts)].tolist()
    text_statistics.export(folders["model"] / "code", folders["output"], test_texts.to_list(), answers, labels, weights)
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
            aucs = [metrics.roc_auc(*column) for column in zip(predicted.labels.T, scores.T, strict=True)]
            loss, auc = log_loss(predicted.labels, scores), metrics.mean(aucs)
            history[-1] |= {"validation_loss": loss, "validation_roc_auc": auc}
            print(" ".join(f"{name} {value}" for name, value in history[-1].items()), flush=True)
        if epoch < epochs:
            trainer.save(history, checkpoints)
    return history, predicted


def evaluate(labels: list[str], rates: dict[str, float], validated: Predictions, tested: Predictions) -> Evaluation:
    """Choose calibration and thresholds with the validation rows. Measure the validation and the test rows."""
    truth, test_truth = validated.labels, tested.labels
    weights, test_weights = (representative_weights(labels, each, rates) for each in (truth, test_truth))
    calibration = calibrate(validated.logits, truth, weights)
    scores, test_scores = (calibration.probabilities(each.logits) for each in (validated, tested))
    thresholds = metrics.thresholds(labels, truth, scores, weights)
    measured = {
        "validation": metrics.evaluate(labels, truth, scores, thresholds, weights),
        "test": metrics.evaluate(labels, test_truth, test_scores, thresholds, test_weights),
    }
    return Evaluation(calibration, thresholds, measured, test_scores, test_weights)


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
