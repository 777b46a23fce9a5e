"""Where the time of one epoch of the project's own training goes: each part alone, in seconds, as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

import tensorflow as tf
from batches import read_table, shuffled_batches
from checkpoints import Checkpoints
from features import Featurizer
from lexicon import learn_lexicon
from team import assemble
from trainer import Trainer, label_rates

from benchmarks.contestants.data import LABELS
from common.hyperparameters import Hyperparameters
from model import Network


def main() -> None:
    settings, team = Hyperparameters.of_use_case(), assemble([""], "")
    tf.config.experimental.enable_op_determinism()
    seconds: dict[str, float] = {}
    rows = timed(seconds, "read the rows", lambda: read_table(Path(sys.argv[1]) / "train", "comment_text", LABELS))
    lexicon = timed(
        *(seconds, "build the vocabulary"),
        lambda: learn_lexicon(rows.batches(), settings.min_count, settings.words, settings.ngrams),
    )
    featurizer = Featurizer(lexicon)
    batches = shuffled_batches(rows.lengths, settings.batch_size, [settings.seed, 1])
    network = Network(featurizer, label_rates(rows.labels), settings, settings.seed)
    data = rows.featurized(featurizer, batches[:-1])
    timed(seconds, "features of one epoch", lambda: sum(1 for _ in data))
    kept = list(data)
    forward = tf.function(network, input_signature=[data.element_spec[0]], autograph=False)
    forward(kept[0][0])
    timed(seconds, "forward pass of one epoch", lambda: [forward(features) for features, _ in kept])
    trainer = Trainer(network, featurizer, settings, rows, team)
    timed(seconds, "one whole epoch", lambda: trainer.epoch(1, [], Checkpoints(None, [])))
    print(json.dumps(seconds))


def timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - start
    return result


if __name__ == "__main__":
    main()
