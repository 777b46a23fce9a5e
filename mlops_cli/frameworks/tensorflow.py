"""TensorFlow: a SavedModel behind TensorFlow Serving. The serving image is older than the training image."""

from __future__ import annotations

from mlops_cli.frameworks.base import CSV, JSON, Framework, Image, Toolkit

FRAMEWORK = Framework(
    name="tensorflow",
    title="TensorFlow",
    extra="local",
    modules=("tensorflow",),
    package="tensorflow-cpu",
    training=Image("2.21", python="py312"),
    # Not before 2.20: earlier containers answer 500 where a handler refuses a request with its own 4xx, and the alarm
    # on 5XX answers would end the deployment.
    serving=Image("2.20"),
    training_repository="tensorflow-training",
    repository="tensorflow-inference",
    toolkit=Toolkit.TENSORFLOW_SERVING,
    content_types=(JSON, CSV),
)
