"""A killed rollback on AWS: the repeated command, or the next run, completes exactly this rollback."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import Execution, Revision
from mlops_cli.backends.aws.clients.model_registry import APPROVED, DELETED
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.rollback import AwsModels
from mlops_cli.backends.aws.runs.pipeline_runs import PipelineRuns
from mlops_cli.backends.aws.runs.pipeline_variables import NO_ROLLBACK, decode_rollback
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.backends.report_page import report_renderer
from mlops_cli.core.models.decision import Actor, Decision, DecisionKind
from mlops_cli.core.models.model_versions import Interval, ModelVersion
from mlops_cli.core.runs import Run, RunRequest, Status, new_run
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import USE_CASES

V1, V2, V3 = "1" * 64, "2" * 64, "3" * 64
START, REJECT, FOLLOW = "start from run of v2", "reject v3: rollback to v2: too rude", "follow back"


class Scenario:
    """Version 3 is deployed. Records each call in order, and stops at the requested one."""

    def __init__(self, folder: Path) -> None:
        self.calls: list[str] = []
        self.errors: dict[str, BaseException] = {}
        self.resume_command = ""
        self.deployed = V3
        self.overtaken_by = ""
        self.status = Status.RUNNING
        self.rollback_variable = NO_ROLLBACK
        self.costs: list[object] = []
        self.deleted: list[str] = []
        use_case = load_use_case(USE_CASES / "tiny" / "training" / "usecase.toml")
        deployed: Any = DeployedProject(Project(folder), use_case, resolve({}, {}, {}), report_renderer(use_case))
        self.limits = use_case.metrics.named()

        def prepare(request: RunRequest) -> StartRequest:
            return StartRequest(Revision("COMMIT_ID", "c1"), "d1", request)

        self.models = AwsModels(deployed, prepare)
        self.runs: Any = PipelineRuns(deployed, self.models, prepare)
        self.runs._costs = lambda request: None
        self.runs._save_environment = lambda run_id: None
        deployed.require_owner = lambda: None
        deployed.completion_cache = SimpleNamespace(save_run=lambda run: None, save_versions=lambda models: None)
        deployed.services = SimpleNamespace(
            pipeline=SimpleNamespace(executions=lambda: iter(self.executions), variables=lambda run_id: self.variables),
            run_store=SimpleNamespace(runs=lambda: iter(runs())),
            versions=SimpleNamespace(
                list_versions=versions, reject=lambda digest, why: self._call(f"reject v{digest[0]}: {why}")
            ),
            registry=SimpleNamespace(status=lambda package: DELETED if package in self.deleted else APPROVED),
            starter=SimpleNamespace(start=lambda *_: ("new", True), start_rollback=self._start),
            accepted_limits=SimpleNamespace(save=lambda accepted: accepted.digest),
            approval_report=SimpleNamespace(shortfalls=lambda run, against_live: []),
            runs=SimpleNamespace(
                follow=self._follow,
                load=self._load,
                deployed=lambda: self.deployed,
                rollback_decision=lambda run_id: decode_rollback(self.rollback_variable),
            ),
        )
        self.executions = [Execution("of v3", "Succeeded", 1.0)]

    @property
    def variables(self) -> dict[str, str]:
        return {"from": "deploy@run of v2", "rollback": self.rollback_variable}

    def _call(self, name: str) -> None:
        if name in self.errors:
            raise self.errors.pop(name)
        self.calls.append(name)

    def _start(self, request: StartRequest) -> str:
        self._call(f"start from {request.source}")
        self.rollback_variable = request.rollback
        self.executions = [Execution("back", "InProgress", 2.0), *self.executions]
        return "back"

    def _load(self, execution: Execution) -> Run:
        run = new_run(execution.id, {})
        run.status = self.status
        if self.rollback_variable == NO_ROLLBACK:
            run.decision = Decision(execution.id, True, Actor("anna"), "", 1.0, "k", V3)
        return run

    def _follow(self, run_id: str, _: object, resume_command: str = "", **__: object) -> Run:
        self._call(f"follow {run_id}")
        self.resume_command = resume_command
        run = new_run(run_id, {})
        run.status, run.deployment.output = Status.DONE, self.deployed
        self.deployed = self.overtaken_by or self.deployed
        return run

    def roll_back(self, version: str = "", comment: str = "too rude") -> Run:
        view: Any = None
        return self.models.rollback(version, comment, view)

    def killed(self, after: str) -> None:
        """Start a rollback that is killed after this call, or ("follow") while it follows."""
        before = {START: REJECT, REJECT: FOLLOW}.get(after, FOLLOW)
        self.errors[before] = KeyboardInterrupt()
        with pytest.raises((MlopsError, KeyboardInterrupt)):
            self.roll_back()
        self.calls.clear()


def runs() -> list[Run]:
    trained = []
    for name, digest in (("v2", V2), ("v1", V1)):
        run = new_run(f"run of {name}", {})
        for stage in run.stages:
            stage.status, stage.output = Status.DONE, digest
        run.approval.detail = {"package": f"package of {name}"}
        trained.append(run)
    return trained


def versions() -> list[ModelVersion]:
    approved = Decision("r", True, Actor("anna"), "", 1.0, "k", "m")
    return [
        ModelVersion(number, digest, "r", 1.0, "", "", {}, {}, approved, (Interval(number, None),))
        for number, digest in ((3, V3), (2, V2), (1, V1))
    ]


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path)


def test_the_live_model_is_rejected_once_its_successor_has_a_run(scenario: Scenario) -> None:
    assert scenario.roll_back().id == "back"
    assert scenario.calls == [START, REJECT, FOLLOW]
    assert scenario.resume_command == "mlops rollback --to v2", "Ctrl-C names this command"
    why, details = decode_rollback(scenario.rollback_variable) or ("", None)
    assert details is not None
    accepted = AcceptedLimits(scenario.limits).digest
    assert (why, details.kind, details.accepted) == ("too rude", DecisionKind.ROLLBACK, accepted)


# The state of AWS when the rollback is repeated: the status of its run, and the deployed model on record.
LATER = [
    (START, Status.RUNNING, V3),
    (REJECT, Status.RUNNING, V3),
    (REJECT, Status.WAITING, V3),
    ("the decision", Status.RUNNING, V3),
    ("the deployment", Status.RUNNING, V2),
    ("the last record", Status.DONE, V2),
]


@pytest.mark.parametrize(("killed_after", "status", "deployed"), LATER)
@pytest.mark.parametrize("version", ["", "v2"])
def test_repeated_after_a_kill_it_is_the_same_rollback(
    scenario: Scenario, killed_after: str, status: Status, deployed: str, version: str
) -> None:
    scenario.killed(killed_after)
    scenario.status, scenario.deployed = status, deployed
    assert scenario.models.plan_rollback(version).run_id == "back"
    assert scenario.roll_back(version, comment="").id == "back"
    assert scenario.calls == [REJECT, FOLLOW], "nothing is started, and the first command's reason stands"


@pytest.mark.parametrize(("killed_after", "status", "deployed"), LATER[:-1])
def test_the_next_run_completes_it(scenario: Scenario, killed_after: str, status: Status, deployed: str) -> None:
    scenario.killed(killed_after)
    scenario.status, scenario.deployed = status, deployed
    assert scenario.runs.start(RunRequest(), None, scenario.costs.append)[0].id == "back"
    assert (scenario.calls, len(scenario.costs)) == ([REJECT, FOLLOW], 1)
    assert scenario.runs.start(RunRequest(from_stage="train"), None)[0].id == "new"


def test_a_rollback_that_was_stopped_gets_another_run_with_the_same_decision(scenario: Scenario) -> None:
    scenario.killed(REJECT)
    scenario.status, variable = Status.INTERRUPTED, scenario.rollback_variable
    scenario.roll_back(comment="")
    assert scenario.calls == [START, REJECT, FOLLOW]
    assert scenario.rollback_variable == variable


def test_after_a_finished_rollback_another_version_is_named(scenario: Scenario) -> None:
    scenario.killed(REJECT)
    scenario.status, scenario.deployed = Status.DONE, V2
    scenario.roll_back("v1", "v2 is bad, too")
    assert scenario.calls == ["start from run of v1", "reject v2: rollback to v1: v2 is bad, too", FOLLOW]


@pytest.mark.parametrize(("where", "calls"), [(START, []), (REJECT, [START])])
def test_stopped_by_ctrl_c_it_names_the_command_that_completes_it(
    scenario: Scenario, where: str, calls: list[str]
) -> None:
    scenario.errors[where] = KeyboardInterrupt()
    with pytest.raises(MlopsError, match="Stopped before the rollback was complete") as caught:
        scenario.roll_back()
    assert (caught.value.exit_code, scenario.calls) == (EXIT_INTERRUPTED, calls)
    assert caught.value.hint == "Continue: mlops rollback --to v2"


def test_a_run_that_cannot_be_started_leaves_the_live_model_approved(scenario: Scenario) -> None:
    scenario.errors[START] = AwsError("AWS throttled", "Wait a minute, then repeat the command.")
    with pytest.raises(AwsError):
        scenario.roll_back()
    assert scenario.calls == []


def test_a_rollback_to_a_model_with_a_deleted_package_is_refused_before_the_question(scenario: Scenario) -> None:
    scenario.deleted = ["package of v2"]
    for act in (scenario.models.plan_rollback, scenario.roll_back):
        with pytest.raises(MlopsError, match="its model package package of v2 was deleted") as caught:
            act("v2")
        assert caught.value.hint == "Choose another version: mlops models"
    assert scenario.calls == []
    assert scenario.models.plan_rollback("v1").target.name == "v1"


def test_a_rollback_beside_a_later_deployment_does_not_end_as_if_its_model_were_live(scenario: Scenario) -> None:
    scenario.overtaken_by = V1
    with pytest.raises(
        MlopsError, match="The model of run back was approved, but it was rejected or replaced"
    ) as caught:
        scenario.roll_back()
    assert "mlops models" in caught.value.hint


def test_a_run_whose_model_was_replaced_while_it_was_tested_does_not_end_as_if_it_were_live(scenario: Scenario) -> None:
    scenario.overtaken_by = V1
    with pytest.raises(MlopsError, match="The model of run new was approved, but it was rejected or replaced"):
        scenario.runs.start(RunRequest(from_stage="train"), None)


def test_nobody_replaces_a_model_that_was_not_shown(scenario: Scenario) -> None:
    view: Any = None
    with pytest.raises(MlopsError, match="Nothing was changed: the deployed model is 333333333333 now"):
        scenario.models.rollback("v1", "", view, shown=V2)
    assert scenario.calls == []
    assert scenario.models.plan_rollback("v1").replaced == V3
