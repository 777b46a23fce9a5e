"""The guarantees of every backend, through the Backend interface only.

Each target is a parameter. The tests of a target share one project, and each continues with the state of the previous
ones.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.backends import get_backend
from mlops_cli.backends.base import Backend
from mlops_cli.core.endpoint import EndpointState
from mlops_cli.core.plan import Action
from mlops_cli.core.progress import no_report
from mlops_cli.core.runs import Run, RunRequest, StageRun, Status
from mlops_cli.core.stages import STAGES
from mlops_cli.data.request import DataRequest
from mlops_cli.errors import MlopsError
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.data_request import data_request
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import ROOT, USE_CASES

pytestmark = pytest.mark.slow
TARGETS = ("local", pytest.param("aws", marks=pytest.mark.aws))
REPORTS = {"local": "runs", "aws": "decisions"}
"""The folder of the runs' reports: on AWS the one where only the steps that decide write."""


class Recorded:
    """A RunView that keeps its events."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Status]] = []

    def stage_changed(self, run: Run, stage: StageRun) -> None:
        self.seen.append((stage.name, stage.status))

    def progress(self, stage: str, done: int, total: int, message: str) -> None:
        self.seen.append((stage, Status.RUNNING))


@pytest.fixture(scope="module", params=TARGETS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Provide a target with its environment, and the project's folder."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(USE_CASES / "tiny" / "training", folder / "training")
    (folder / "data.csv").write_text("id,text,long\n" + "".join(f"{n},text {n},{n % 2}\n" for n in range(9)))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "aws":
            server = request.getfixturevalue("aws_server")
            server.reset()
            for name, value in server.environment.items():
                patch.setenv(name, value)
            shutil.copytree(ROOT / "templates", folder / "templates")
        yield request.param, folder
        new_backend(request.param, folder).infra.cleanup(keep_data=False)
        assert request.param != "aws" or server.control("drift") == []


def new_backend(target: str, folder: Path) -> Backend:
    use_case = load_use_case(folder / "training" / "usecase.toml")
    return get_backend(resolve({"MLOPS_TARGET": target, "SOURCE": "s3"}, {}, {}), Project(folder), use_case)


@pytest.fixture
def backend(shared: tuple[str, Path]) -> Backend:
    """Return a backend as a new command has it."""
    return new_backend(*shared)


@pytest.fixture
def request_for_data(shared: tuple[str, Path]) -> DataRequest:
    _, folder = shared
    return data_request(load_use_case(folder / "training" / "usecase.toml"), [str(folder / "data.csv")])


@pytest.fixture
def ready(backend: Backend, request_for_data: DataRequest) -> Backend:
    backend.infra.deploy()
    backend.data.download(request_for_data, no_report)
    return backend


def live(ready: Backend) -> Run:
    """Return a run with a live model. A previous test may have deployed it."""
    run, _ = ready.runs.start(RunRequest(), Recorded())
    return ready.approvals.approve(run, True, "good", Recorded()) if run.status is Status.WAITING else run


def waiting(ready: Backend, epochs: int) -> Run:
    run, _ = ready.runs.start(RunRequest(overrides={"epochs": str(epochs)}), Recorded())
    assert run.status is Status.WAITING
    return run


def test_a_plan_changes_nothing_and_providing_twice_is_safe(backend: Backend) -> None:
    assert backend.infra.plan().active
    for _ in range(2):
        backend.infra.deploy()
        assert backend.infra.is_ready_to_run()
        assert not backend.infra.plan().active


def test_the_same_data_twice_is_a_change_once(ready: Backend, request_for_data: DataRequest) -> None:
    dataset, changed = ready.data.download(request_for_data, no_report)
    assert (dataset.rows, dataset.label_rates, changed) == (9, {"long": 4 / 9}, False)
    assert ready.data.dataset() == dataset


def test_wrong_requests_start_nothing(ready: Backend) -> None:
    for request in (
        RunRequest(overrides={"nope": "1"}),
        RunRequest(from_stage="nope"),
        RunRequest(from_stage="deploy"),
    ):
        with pytest.raises(MlopsError):
            ready.runs.start(request, Recorded())
    assert ready.runs.list_runs() == []


def test_a_run_stops_for_a_decision_and_continues_after_it(ready: Backend) -> None:
    view = Recorded()
    run, fresh = ready.runs.start(RunRequest(), view)
    assert (run.status, fresh) == (Status.WAITING, True)
    assert [stage.name for stage in run.stages] == [stage.name for stage in STAGES]
    assert ("train", Status.RUNNING) in view.seen
    assert view.seen[-1] == ("approval", Status.WAITING)
    assert ready.endpoint.status().state is EndpointState.ABSENT
    assert "progress 1/1 epoch 1" in list(ready.runs.read_log(run, "train", follow=True))
    with urllib.request.urlopen(ready.approvals.report(run)) as answer:
        page = answer.read().decode()
    assert f"mlops approve {run.id}" in page
    assert ready.approvals.evidence(run).report.endswith(f"/{REPORTS[ready.target]}/{run.id}/report.html")

    ready.approvals.check_waiting(run)
    done = ready.approvals.approve(run, True, "good", Recorded())
    assert done.status is Status.DONE
    assert done.decision is not None
    assert (done.decision.approved, done.decision.comment) == (True, "good")
    assert ready.runs.get(run.id[:4]).status is Status.DONE


def test_evidence_has_metrics_limits_gates_and_digests(ready: Backend) -> None:
    run = live(ready)
    evidence = ready.approvals.evidence(run)
    macro = next(row for row in evidence.rows if row.name == "macro")
    assert (macro.metrics, macro.minimum, macro.below) == ({"roc_auc": 0.6000000000000001}, {"roc_auc": 0.5}, [])
    assert evidence.model_digest == run.stage("train").output
    assert evidence.data_digest == ready.data.dataset().sha256  # type: ignore[union-attr]
    assert evidence.live_run == run.id
    assert [gate.passed for gate in evidence.gates] == [1, 1]


def test_the_live_model_is_the_approved_one_and_answers(ready: Backend) -> None:
    run = live(ready)
    endpoint = ready.endpoint.status()
    assert endpoint.state is EndpointState.IN_SERVICE
    assert endpoint.live_digest == endpoint.approved_digest == run.stage("train").output
    answer = ready.endpoint.invoke(b'{"instances": ["abc"]}', "application/json")
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": [{"long": 3.0}]})
    assert ready.endpoint.run_gate().passed == 1


def test_nothing_changed_starts_nothing_and_a_change_starts_a_run(ready: Backend) -> None:
    run = live(ready)
    before = [run.id for run in ready.runs.list_runs()]
    second, fresh = ready.runs.start(RunRequest(), Recorded())
    assert (second.id, fresh) == (run.id, False)
    other_model, fresh = ready.runs.start(RunRequest(overrides={"epochs": "2"}), Recorded())
    assert (other_model.id != run.id, fresh, other_model.status) == (True, True, Status.WAITING)
    assert [run.id for run in ready.runs.list_runs()] == [other_model.id, *before]
    assert other_model.stage("preprocess").status is Status.REUSED


def test_a_rejected_run_is_neither_deployed_nor_decided_again(ready: Backend) -> None:
    run, before = waiting(ready, epochs=2), ready.endpoint.status().live_digest
    assert ready.approvals.approve(run, False, "no", Recorded()).status is Status.REJECTED
    assert ready.endpoint.status().live_digest == before != run.stage("train").output
    with pytest.raises(MlopsError, match="was rejected by"):
        ready.approvals.approve(run, True, "", Recorded())


def test_a_repeated_decision_is_no_other_decision(ready: Backend) -> None:
    run = waiting(ready, epochs=2)
    done = ready.approvals.approve(run, True, "good", Recorded())
    repeated = ready.approvals.approve(done, True, "once more", Recorded())
    assert (repeated.id, repeated.status, repeated.decision) == (run.id, Status.DONE, done.decision)
    rejected = ready.approvals.approve(waiting(ready, epochs=3), False, "no", Recorded())
    assert ready.approvals.approve(rejected, False, "no", Recorded()).decision == rejected.decision
    assert ready.endpoint.status().approved_digest == run.stage("train").output


def test_a_decision_about_a_run_that_went_on_meanwhile_is_refused(ready: Backend) -> None:
    run = waiting(ready, epochs=3)
    ready.approvals.approve(run, True, "good", Recorded())
    stale = replace(run, status=Status.WAITING, decision=None)
    with pytest.raises(MlopsError, match="already approved"):
        ready.approvals.approve(stale, False, "", Recorded())


def test_the_cleanup_follows_its_plan_and_leaves_no_resource(ready: Backend) -> None:
    live(ready)
    plan = ready.infra.plan_cleanup(keep_data=False)
    assert {change.action for change in plan.active} == {Action.STOP, Action.REMOVE}
    assert ready.infra.cleanup(keep_data=False).active == ()
    assert ready.infra.plan_cleanup(keep_data=False).active == ()


def test_teardown_can_keep_the_data(ready: Backend) -> None:
    assert ready.infra.cleanup(keep_data=True).active == ()
    assert ready.data.dataset() is not None
