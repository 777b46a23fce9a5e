"""Load the model, for all other servers."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


class Saved:
    def __init__(self) -> None:
        self._model = tf.saved_model.load(os.environ["BENCHMARK_MODEL"])
        self._serve = self._model.signatures["serving_default"]
        self(["warm up"])

    def __call__(self, texts: list[str]) -> list[list[float]]:
        return self._serve(text=tf.constant(texts))["probabilities"].numpy().tolist()
