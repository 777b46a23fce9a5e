"""The versions of mlops and its packages, for bug reports and scripts."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from mlops_cli import __version__

PACKAGES = (
    "boto3", "falcon", "kaggle", "keras", "mlflow-skinny", "numpy", "polars", "pytest", "rich", "sagemaker-core",
    "tensorflow", "tensorflow-cpu", "typer", "uvicorn",
)  # fmt: skip


def version_info() -> dict[str, Any]:
    """Return the versions of mlops, Python and the packages; None for a package that is not installed."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": {name: _installed_versions(name) for name in PACKAGES},
    }


def _installed_versions(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
