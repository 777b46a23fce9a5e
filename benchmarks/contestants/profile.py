"""Print how long each part of one epoch of the project's own training takes, in seconds, as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

import numpy as np
import tensorflow as tf

from benchmarks.contestants.data import LABELS
from common.hyperparameters import Hyperparameters
from fitting.checkpoints import Checkpoints
from fitting.dataset import TrainingStream, featurize, loader, open_split
from fitting.distributed import connect
from fitting.trainer import Trainer, label_rates
from model.features import Featurizer
from model.network import Network
from model.vocabulary import ENOUGH_TEXTS, choose_words, count_words


def main() -> None:
    settings, context = Hyperparameters.of_use_case(), connect([""], "")
    tf.config.experimental.enable_op_determinism()
    seconds: dict[str, float] = {}
    split = timed(seconds, "open the parts", lambda: open_split(Path(sys.argv[1]) / "train", "comment_text", LABELS))
    words = timed(seconds, "build the vocabulary", lambda: count_words(split.texts(), ENOUGH_TEXTS))
    featurizer = Featurizer(choose_words(*words, settings.min_count, settings.words))
    rates = label_rates(split.label_counts(), len(split))
    network = Network(featurizer.words, rates, settings)
    stream = TrainingStream(split, settings.batch_size, 1, settings.seed)
    steps = stream.steps_per_pass
    timed(seconds, "read the rows of one epoch", lambda: sum(1 for _ in islice(stream.batches(0), steps)))
    data = featurize(islice(stream.batches(0), steps), loader(len(LABELS), featurizer))
    signature = data.element_spec[0][0]
    kept = timed(seconds, "the same with features", lambda: list(data))
    forward = tf.function(network, input_signature=[signature], autograph=False)
    forward(kept[0][0][0])
    timed(seconds, "forward pass of one epoch", lambda: [forward(features) for ((features, _),) in kept])
    trainer = Trainer(network, featurizer, settings, split, np.asarray(rates), context)
    timed(seconds, "one whole epoch", lambda: trainer.epoch(1, [], Checkpoints(None, [])))
    print(json.dumps(seconds))


def timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - start
    return result


if __name__ == "__main__":
    main()
