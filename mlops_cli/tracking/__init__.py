"""Runs in MLflow, if MLFLOW_TRACKING_URI is set. A failure here never fails the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_cli.core.secrets import without_secrets
from mlops_cli.errors import MlopsError
from mlops_cli.project.settings.exports import export_mlflow

if TYPE_CHECKING:
    from mlops_cli.core.runs import Run
    from mlops_cli.project.settings.values import Settings
    from mlops_cli.project.usecase.use_case import UseCase


class RunList(Protocol):
    def list_runs(self) -> list[Run]: ...

    def own_files(self, run: Run, scratch: Path) -> Path | None: ...


def track(run: Run, runs: RunList, settings: Settings, use_case: UseCase, say: Callable[[str], None]) -> None:
    """Log the run in its present state, if a server is set. Report a failure in one line."""
    if not settings["MLFLOW_TRACKING_URI"]:
        return
    import tempfile

    from mlops_cli.tracking.mlflow import Tracker
    from mlops_cli.tracking.run_record import run_record

    export_mlflow(settings)
    experiment = settings["MLFLOW_EXPERIMENT_NAME"] or settings.endpoint_name(use_case.name)
    tracker = Tracker(settings["MLFLOW_TRACKING_URI"], experiment, use_case.root)
    try:
        tracker.check()
        record = run_record(run, use_case, settings.target, settings["STAGE"])
        with tempfile.TemporaryDirectory() as scratch:
            page = tracker.send(record, runs.list_runs(), lambda: runs.own_files(run, Path(scratch)))
        location = page or f"experiment {experiment} at {settings['MLFLOW_TRACKING_URI']}"
        say(f"run {run.id} is logged to MLflow: {without_secrets(location)}")
    except MlopsError as error:
        say(_not_logged(run, error.message, settings) + f". {error.hint}")
    except Exception as error:  # noqa: BLE001 (MLflow and its plug-ins raise anything; a run does not fail for them)
        text = str(getattr(error, "message", None) or error or type(error).__name__)
        say(_not_logged(run, text.strip().splitlines()[0], settings))


def _not_logged(run: Run, reason: str, settings: Settings) -> str:
    detail = f"at {settings['MLFLOW_TRACKING_URI']}: {reason.rstrip('.')}"
    return f"run {run.id} is not logged to MLflow {without_secrets(detail)}"
