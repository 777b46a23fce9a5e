"""Export settings as the environment variables that other packages read."""

from __future__ import annotations

import os

from mlops_cli.project.settings.values import Settings


def export_kaggle(settings: Settings) -> None:
    """Set the environment variables that the kaggle package reads."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        if settings[name]:
            os.environ[name] = settings[name]


def export_mlflow(settings: Settings) -> None:
    """Set the environment variables that MLflow reads: short timeouts, no telemetry."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        if settings[name]:
            os.environ[name] = settings[name]
    for name, value in (
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ):
        os.environ.setdefault(name, value)
