"""The MLflow client: one MLflow run for each run, updated with each call."""

from __future__ import annotations

import contextlib
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlops_cli.core.runs import Run, Status
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command, packages_command
from mlops_cli.tracking.run_record import RUN_TAG, STATUS_TAG, RunRecord, TrackedMetric

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Logged

T = TypeVar("T")
LOOK_SECONDS = 3.0
# The folder of a run with the files of its training.
FILES = "files"
# MLflow's limits for one request.
MOST_METRICS, MOST_OTHERS = 1000, 100
DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
STATES = {
    Status.DONE: "FINISHED",
    Status.WAITING: "SCHEDULED",
    Status.FAILED: "FAILED",
    Status.INTERRUPTED: "KILLED",
    Status.REJECTED: "KILLED",
    Status.SUPERSEDED: "KILLED",
}
ENDED = ("FINISHED", "FAILED", "KILLED")


class Tracker:
    """One experiment on one tracking server. ``uri``: any form that MLflow accepts; paths are relative to ``root``."""

    def __init__(self, uri: str, experiment: str, root: Path) -> None:
        self.uri = _anchored(uri, root)
        self.experiment = experiment

    def check(self) -> None:
        """Raise MlopsError, quickly, for errors that can be found without importing MLflow."""
        if find_spec("mlflow") is None:
            raise MlopsError("MLflow is not installed", f"Install it: {install_command('mlflow')}")
        if self.uri.startswith("arn:") and find_spec("sagemaker_mlflow") is None:
            raise MlopsError(
                "SageMaker's MLflow needs a plug-in", f"Install it: {packages_command('sagemaker-mlflow')}"
            )
        if self.uri.startswith(DATABASES) and find_spec("sqlalchemy") is None:
            raise MlopsError("a database needs the whole of MLflow", f"Install it: {packages_command('mlflow')}")
        if self.uri.startswith(("http://", "https://")):
            _require_reachable(self.uri)

    def send(self, record: RunRecord, runs: Iterable[Run], files: Callable[[], Path | None] = lambda: None) -> str:
        """Update the MLflow run of the run, and those of ``runs`` that do not wait any more. Return its page.

        ``files`` downloads the folder of the training's own files, which MLflow stores once.
        """
        from mlflow import MlflowClient  # MLflow's import configures logging

        with _silenced():
            client = MlflowClient(tracking_uri=self.uri)
            experiment_id = _experiment(client, self.experiment)
            logged = _search(client, experiment_id, record) or _create_run(client, experiment_id, record)
            _log(client, logged, record)
            if not client.list_artifacts(logged.info.run_id, FILES) and (folder := files()):
                client.log_artifacts(logged.info.run_id, str(folder), FILES)
            _set_state(client, logged, record.run)
            _update_superseded(client, experiment_id, {run.id: run for run in runs})
        return self._page(experiment_id, logged.info.run_id)

    def _page(self, experiment: str, run: str) -> str:
        """Return the run's web address; "" for a store without web pages."""
        web = self.uri.startswith(("http://", "https://"))
        return f"{self.uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}" if web else ""


def _anchored(uri: str, root: Path) -> str:
    """Return the address. A relative path is relative to the project, not to the current folder."""
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{root / uri.removeprefix('sqlite:///')}"
    is_path = ":" not in uri and uri != "databricks"
    return (root / uri).as_uri() if is_path else uri


def _require_reachable(uri: str) -> None:
    """Raise MlopsError if the server is unreachable.

    MLflow itself would retry for minutes. Any HTTP status proves that the server is reachable.
    """
    bare = re.sub("//[^/@]*@", "//", uri)
    try:
        urllib.request.urlopen(f"{bare.rstrip('/')}/health", timeout=LOOK_SECONDS).close()  # noqa: S310 (http, see above)
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MlopsError(f"it cannot be reached: {reason}", "Start it, or unset MLFLOW_TRACKING_URI") from None


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Silence MLflow's messages and warnings. Errors are exceptions."""
    loud = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3")]
    levels = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)


def _experiment(client: MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else client.create_experiment(name))


def _search(client: MlflowClient, experiment: str, record: RunRecord) -> Logged | None:
    """Return the MLflow run of this run. Ignore one with other parameters, because MLflow cannot change them."""
    logged = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{record.run.id}'")
    return next((candidate for candidate in logged if _is_same(candidate.data.params, record.parameters)), None)


def _is_same(logged_values: dict[str, str], expected: dict[str, str]) -> bool:
    return all(logged_values.get(name, value) == value for name, value in expected.items())


def _create_run(client: MlflowClient, experiment: str, record: RunRecord) -> Logged:
    run = record.run
    tags = {RUN_TAG: run.id, "mlflow.source.name": "mlops", "mlflow.source.type": "PROJECT"}
    return client.create_run(experiment, start_time=int(run.created_at * 1000), tags=tags, run_name=run.id)


def _log(client: MlflowClient, logged: Logged, record: RunRecord) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run_id, data = logged.info.run_id, logged.data
    metrics = [
        Metric(point.name, point.value, int(point.at * 1000), point.step)
        for point in _new_metrics(record.measures, data.metrics)
    ]
    new = {name: value for name, value in record.parameters.items() if name not in data.params}
    for part in _parts(metrics, MOST_METRICS):
        client.log_batch(run_id, metrics=part)
    for params in _parts([Param(name, value) for name, value in new.items()], MOST_OTHERS):
        client.log_batch(run_id, params=params)
    for tags in _parts([RunTag(name, value) for name, value in record.tags.items()], MOST_OTHERS):
        client.log_batch(run_id, tags=tags)


def _new_metrics(measures: Sequence[TrackedMetric], logged_values: dict[str, float]) -> list[TrackedMetric]:
    """Return the metrics whose last value is new: MLflow would show a repeated point twice."""
    last = {measure.name: measure.value for measure in measures}
    unchanged = {name for name, value in last.items() if logged_values.get(name) == value}
    return [measure for measure in measures if measure.name not in unchanged]


def _parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part


def _set_state(client: MlflowClient, logged: Logged, run: Run) -> None:
    state = STATES.get(run.status, "RUNNING")
    if state in ENDED:
        ends = [stage.finished_at for stage in run.stages if stage.finished_at]
        client.set_terminated(logged.info.run_id, state, int(max(ends, default=run.created_at) * 1000))
    else:
        client.update_run(logged.info.run_id, state)


def _update_superseded(client: MlflowClient, experiment: str, runs: dict[str, Run]) -> None:
    """Update the superseded runs, so that none waits in MLflow any more."""
    for logged in client.search_runs([experiment], f"tags.`{STATUS_TAG}` = '{Status.WAITING.value}'"):
        run = runs.get(logged.data.tags[RUN_TAG])
        if run and run.status is not Status.WAITING:
            client.set_tag(logged.info.run_id, STATUS_TAG, run.status.value)
            _set_state(client, logged, run)
