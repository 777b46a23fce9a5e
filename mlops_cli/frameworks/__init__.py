"""The frameworks of ``[model] framework`` in usecase.toml."""

from __future__ import annotations

from mlops_cli.frameworks import huggingface, pytorch, sklearn, tensorflow, xgboost
from mlops_cli.frameworks.base import Framework

FRAMEWORKS: tuple[Framework, ...] = (
    tensorflow.FRAMEWORK,
    sklearn.FRAMEWORK,
    xgboost.FRAMEWORK,
    pytorch.FRAMEWORK,
    huggingface.FRAMEWORK,
)
NAMES = tuple(framework.name for framework in FRAMEWORKS)
DEFAULT = tensorflow.FRAMEWORK
FRAMEWORK = "framework"  # the key of its name in the detail of a training


def framework_named(name: str) -> Framework:
    """Return the framework; raise KeyError for an unknown name."""
    return {framework.name: framework for framework in FRAMEWORKS}[name]
