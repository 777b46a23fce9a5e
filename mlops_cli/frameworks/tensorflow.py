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
    # At least 2.20: earlier containers return 500 if a handler refuses a request with a 4xx of its own, and the alarm
    # on 5XX responses would end the deployment.
    serving=Image("2.20"),
    training_repository="tensorflow-training",
    repository="tensorflow-inference",
    toolkit=Toolkit.TENSORFLOW_SERVING,
    content_types=(JSON, CSV),
)
