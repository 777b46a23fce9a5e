"""A framework as data: its packages, its SageMaker images, and how its serving container calls a model.

A framework is one file in this folder and one entry in FRAMEWORKS (see __init__.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
PROGRAM = "SAGEMAKER_PROGRAM"


class Toolkit(str, Enum):
    """The library in a serving container that calls the handlers in ``code/inference.py``. It sets the error codes."""

    TENSORFLOW_SERVING = "tensorflow-serving"  # input_handler, output_handler
    CONTAINERS = "sagemaker-containers"  # model_fn, input_fn, predict_fn, output_fn, transform_fn
    INFERENCE = "sagemaker-inference"  # the same functions, each also with a context


@dataclass(frozen=True)
class Image:
    """A container image by the names in SageMaker's SDK, which knows repository and registry account by region."""

    version: str
    python: str = ""
    base_framework: str = ""  # the base framework of a Hugging Face image, and its version


@dataclass(frozen=True)
class Framework:
    """``modules``: the packages that the extra ``extra`` of mlops installs for scripts and the local server.

    The functions are the container's defaults for functions that a package does not define. None: the package must
    define the function. ``row_functions``: input_fn and predict_fn with an array between them instead of an object that
    cannot be joined. They predict each row as alone, bit for bit, also if the rows of several requests are joined.
    """

    name: str
    title: str
    extra: str
    modules: tuple[str, ...]
    package: str  # the framework's version in the training image
    training: Image
    serving: Image
    training_repository: str
    repository: str  # the version of the serving images
    toolkit: Toolkit
    content_types: tuple[str, ...] = (JSON, CSV, NPY)
    installs_code: bool = False  # the serving container installs packages when it starts, which needs the network
    has_cpu_training: bool = True  # True if training images for CPUs exist
    unnamed_packages: tuple[str, ...] = ()  # in the images, so requirements leave them out
    model_fn: Callable[[Path], Any] | None = None
    input_fn: Callable[[Any, str], Any] | None = None
    predict_fn: Callable[[Any, Any], Any] | None = None
    output_fn: Callable[[Any, str], Any] | None = None
    row_functions: Mapping[str, Callable[[Any, Any], Any]] | None = None

    @property
    def uses_handlers(self) -> bool:
        """Return True if the package's functions, not TensorFlow Serving, load and run the model."""
        return self.toolkit is not Toolkit.TENSORFLOW_SERVING

    def serves_with(self, image: str) -> bool:
        """Return True if the address is one of the framework's serving images."""
        return image.rpartition("/")[2].partition(":")[0] == self.repository

    @property
    def answer_types(self) -> tuple[str, ...]:
        """Return the content types of responses."""
        return self.content_types if self.uses_handlers else (JSON,)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that tell the serving container where the package's functions are."""
        if not self.uses_handlers:
            return {}
        return {PROGRAM: "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
