"""Sends the record of a run to MLflow: one MLflow run for each of ours, brought up to date as often as it is sent."""

from __future__ import annotations

import contextlib
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlops_cli.errors import MlopsError
from mlops_cli.install import install_command, packages_command
from mlops_cli.runs import Run, Status
from mlops_cli.tracking.record import RUN_TAG, STATUS_TAG, Measure, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Logged

T = TypeVar("T")
LOOK_SECONDS = 3.0
# What MLflow takes in one request.
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
    """One experiment of one tracking server; ``uri`` in any form that MLflow takes, paths relative to ``root``."""

    def __init__(self, uri: str, experiment: str, root: Path) -> None:
        self.uri = _anchored(uri, root)
        self.experiment = experiment

    def check(self) -> None:
        """Raises MlopsError, quickly, for what can be seen before MLflow itself is loaded."""
        if find_spec("mlflow") is None:
            raise MlopsError("MLflow is not installed", f"Install it: {install_command('mlflow')}")
        if self.uri.startswith("arn:") and find_spec("sagemaker_mlflow") is None:
            raise MlopsError(
                "SageMaker's MLflow needs a plug-in", f"Install it: {packages_command('sagemaker-mlflow')}"
            )
        if self.uri.startswith(DATABASES) and find_spec("sqlalchemy") is None:
            raise MlopsError("a database needs the whole of MLflow", f"Install it: {packages_command('mlflow')}")
        if self.uri.startswith(("http://", "https://")):
            _look(self.uri)

    def send(self, record: Record, runs: Iterable[Run]) -> str:
        """Bring the run's MLflow run up to date, and of all ``runs`` those that wait no more; gives its page."""
        from mlflow import MlflowClient  # which sets up its logging

        with _only_what_matters():
            client = MlflowClient(tracking_uri=self.uri)
            place = _experiment(client, self.experiment)
            logged = _found(client, place, record) or _begun(client, place, record)
            _log(client, logged, record)
            _set_state(client, logged, record.run)
            _restate(client, place, {run.id: run for run in runs})
        return self._page(place, logged.info.run_id)

    def _page(self, experiment: str, run: str) -> str:
        """The run's web address; empty if there is no server that has pages."""
        web = self.uri.startswith(("http://", "https://"))
        return f"{self.uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}" if web else ""


def _anchored(uri: str, root: Path) -> str:
    """A relative path is one in the project, wherever the command is called."""
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{root / uri.removeprefix('sqlite:///')}"
    is_path = ":" not in uri and uri != "databricks"
    return (root / uri).as_uri() if is_path else uri


def _look(uri: str) -> None:
    """MLflow itself would try for minutes. Any answer will do: what stands before the server may ask for a name."""
    bare = re.sub("//[^/@]*@", "//", uri)
    try:
        urllib.request.urlopen(f"{bare.rstrip('/')}/health", timeout=LOOK_SECONDS).close()  # noqa: S310 (http, see above)
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MlopsError(f"it cannot be reached: {reason}", "Start it, or unset MLFLOW_TRACKING_URI") from None


@contextlib.contextmanager
def _only_what_matters() -> Iterator[None]:
    """MLflow and what it is made of tell a lot; what goes wrong is raised."""
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
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _found(client: MlflowClient, experiment: str, record: Record) -> Logged | None:
    """The MLflow run of this run. One with other parameters is left as it is: MLflow's cannot be changed."""
    logged = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{record.run.id}'")
    return next((one for one in logged if _agrees(one.data.params, record.parameters)), None)


def _agrees(there: dict[str, str], wanted: dict[str, str]) -> bool:
    return all(there.get(name, value) == value for name, value in wanted.items())


def _begun(client: MlflowClient, experiment: str, record: Record) -> Logged:
    run = record.run
    tags = {RUN_TAG: run.id, "mlflow.source.name": "mlops", "mlflow.source.type": "PROJECT"}
    return client.create_run(experiment, start_time=int(run.created_at * 1000), tags=tags, run_name=run.id)


def _log(client: MlflowClient, logged: Logged, record: Record) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run_id, there = logged.info.run_id, logged.data
    metrics = [
        Metric(one.name, one.value, int(one.at * 1000), one.step) for one in _news(record.measures, there.metrics)
    ]
    new = {name: value for name, value in record.parameters.items() if name not in there.params}
    for part in _parts(metrics, MOST_METRICS):
        client.log_batch(run_id, metrics=part)
    for params in _parts([Param(name, value) for name, value in new.items()], MOST_OTHERS):
        client.log_batch(run_id, params=params)
    for tags in _parts([RunTag(name, value) for name, value in record.tags.items()], MOST_OTHERS):
        client.log_batch(run_id, tags=tags)


def _news(measures: Sequence[Measure], there: dict[str, float]) -> list[Measure]:
    """The metrics whose last value is not the one that is there: sent again, a point would stand there twice."""
    last = {measure.name: measure.value for measure in measures}
    known = {name for name, value in last.items() if there.get(name) == value}
    return [measure for measure in measures if measure.name not in known]


def _parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _set_state(client: MlflowClient, logged: Logged, run: Run) -> None:
    state = STATES.get(run.status, "RUNNING")
    if state in ENDED:
        ends = [stage.finished_at for stage in run.stages if stage.finished_at]
        client.set_terminated(logged.info.run_id, state, int(max(ends, default=run.created_at) * 1000))
    else:
        client.update_run(logged.info.run_id, state)


def _restate(client: MlflowClient, experiment: str, runs: dict[str, Run]) -> None:
    """A run that another one has overtaken does not go on waiting in MLflow."""
    for logged in client.search_runs([experiment], f"tags.`{STATUS_TAG}` = '{Status.WAITING.value}'"):
        run = runs.get(logged.data.tags[RUN_TAG])
        if run and run.status is not Status.WAITING:
            client.set_tag(logged.info.run_id, STATUS_TAG, run.status.value)
            _set_state(client, logged, run)
