"""The effects of `mlops run` on a pipeline in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Execution, Revision
from mlops_cli.backends.aws.company_account import CompanyAccount
from mlops_cli.backends.aws.runs.pipeline_variables import encode
from mlops_cli.backends.aws.runs.prepare_start import prepare_start
from mlops_cli.backends.aws.runs.start import RunStarter, StartRequest
from mlops_cli.core.models.model_versions import OVERTAKEN
from mlops_cli.core.runs import Run, RunRequest, StageRun, Status, new_run
from mlops_cli.core.stages import STAGES, position
from mlops_cli.errors import EXIT_REJECTED, ConfigurationError, MlopsError
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import USE_CASES

SOURCE = Revision("COMMIT_ID", "c1")


class Scenario:
    """A pipeline with at most one execution, its run, and the calls to CodePipeline."""

    def __init__(self) -> None:
        self.latest: Execution | None = None
        self.run = new_run("old", {})
        self.given = {"overrides": encode({}), "from": "-", "force": "false", "rollback": "-"}
        self.started: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.retried: list[str] = []
        self.retryable = True
        self.approved = True
        self.live = "model"
        self.stopped_at = ""
        self.earlier: StageRun | None = None
        self.passed_on: list[str] = []
        self.asked = 0
        self.calls: list[str] = []
        self.revision = ""
        self.exported: dict[str, str] = {}
        self.is_verified = True
        self.pipeline = self.run_store = self

    def executions(self) -> Iterator[Execution]:
        return iter([self.latest] if self.latest else [])

    def with_revision(self, execution: Execution) -> Execution:
        return replace(execution, revision=self.revision) if self.revision else execution

    def stop(self, execution_id: str, reason: str) -> None:
        self.calls.append("stop")

    def variables(self, execution_id: str) -> dict[str, str]:
        return self.given

    def load(self, execution: Execution) -> Run:
        return self.run

    def recorded_runs(self) -> Iterator[Run]:
        return iter([self.run] if self.latest else [])

    def runs(self) -> Iterator[Run]:
        return self.recorded_runs() if self.is_verified else iter(())

    def wait_for_status_change(self, run_id: str, status: Status) -> None:
        pass

    def clear_endpoint_stack(self) -> None:
        self.calls.append("clear")

    def existing_approval(self, run: Run) -> StageRun | None:
        return self.earlier

    def forward_existing_approval(self, run: Run) -> None:
        self.passed_on.append(run.id)

    def consent(self) -> None:
        self.asked += 1

    def start(self, variables: dict[str, str], revision: Revision, token: str) -> str:
        self.calls.append("start")
        self.started.append(variables)
        self.tokens.append(token)
        return "new"

    def retry(self, execution_id: str, stage: str) -> bool:
        self.calls.append("retry")
        self.retried.append(stage)
        return self.retryable

    def actions(self, execution_id: str) -> list[ActionRun]:
        done = ActionRun("preprocess", "command", "Succeeded", 0.0, 1.0, variables=self.exported)
        return [done, ActionRun(self.stopped_at, "command", "Failed", 1.0, 2.0)]

    def approval(self, digest: str, key: str) -> StageRun | None:
        return StageRun("approval") if self.approved else None

    def stands(self, status: Status, at: str = "", stage: Status = Status.FAILED, **overrides: str) -> Scenario:
        """Create a run whose stages before ``at`` are done."""
        named = {f"train.{name}": value for name, value in overrides.items()}
        self.latest, self.run = Execution("old", "-", 1.0, "c1"), new_run("old", named)
        self.given = {**self.given, "overrides": encode(named)}
        self.run.status = status
        for entry in self.run.stages[: position(at) if at else len(STAGES)]:
            entry.status, entry.output = Status.DONE, "model"
        self.stopped_at = at
        if at:
            self.run.stage(at).status = stage
        self.run.stage("preprocess").cache_inputs = {"the data": "d1"}
        return self

    def starts(self, source: Revision = SOURCE, data: str = "d1", **request: Any) -> tuple[str, bool]:
        started: tuple[str, bool] = self.starter.start(StartRequest(source, data, RunRequest(**request)), self.consent)
        return started

    @property
    def starter(self) -> Any:
        return RunStarter(self, self, lambda: self.live)  # type: ignore[arg-type]


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def test_the_first_run_starts_with_the_given_options(scenario: Scenario) -> None:
    assert scenario.starts(overrides={"train.epochs": "3"}, force=True) == ("new", True)
    variables = {"overrides": encode({"train.epochs": "3"}), "from": "-", "force": "true", "rollback": "-"}
    assert scenario.started == [variables]


def test_a_rollback_names_the_run_of_its_model_and_its_decision(scenario: Scenario) -> None:
    scenario.stands(Status.DONE)
    request = StartRequest(SOURCE, "d1", RunRequest(from_stage="deploy"), source="model", rollback="abc")
    assert [scenario.starter.start_rollback(request), scenario.starter.start_rollback(request)] == ["new", "new"]
    assert (scenario.started[0]["from"], scenario.started[0]["rollback"]) == ("deploy@model", "abc")
    assert len(set(scenario.tokens)) == 1, "an answer that got lost starts no second run"


def test_without_a_change_no_run_starts(scenario: Scenario) -> None:
    assert scenario.stands(Status.DONE).starts() == ("old", False)
    assert scenario.started == []


@pytest.mark.parametrize(
    "change",
    [
        {"source": Revision("COMMIT_ID", "c2")},
        {"data": "d2"},
        {"overrides": {"train.epochs": "3"}},
        {"force": True},
        {"from_stage": "train"},
    ],
    ids=str,
)
def test_any_change_starts_a_run(scenario: Scenario, change: dict[str, Any]) -> None:
    assert scenario.stands(Status.DONE).starts(**change) == ("new", True)


def test_a_model_that_is_no_longer_live_is_deployed_again(scenario: Scenario) -> None:
    scenario.stands(Status.DONE).live = ""
    assert scenario.starts() == ("new", True)


def test_after_a_run_from_a_later_stage_the_earlier_stages_are_unknown(scenario: Scenario) -> None:
    scenario.stands(Status.DONE).given["from"] = "train"
    assert scenario.starts() == ("new", True)


def test_a_run_in_progress_is_followed(scenario: Scenario) -> None:
    assert scenario.stands(Status.RUNNING, "train", Status.RUNNING).starts() == ("old", True)
    assert scenario.stands(Status.WAITING, "approval", Status.WAITING).starts() == ("old", False)
    assert scenario.started == scenario.passed_on == []


def test_a_run_that_waits_for_a_known_decision_gets_it_and_is_followed(scenario: Scenario) -> None:
    scenario.stands(Status.WAITING, "approval", Status.WAITING).earlier = StageRun("approval")
    assert scenario.starts() == ("old", True)
    assert (scenario.passed_on, scenario.asked) == (["old"], 1), "what it deploys costs, so that it is asked"


def test_a_forced_run_in_progress_is_followed_only_by_a_forced_command(scenario: Scenario) -> None:
    scenario.stands(Status.RUNNING, "train", Status.RUNNING)
    assert scenario.starts(force=True) == ("new", True)
    scenario.given["force"] = "true"
    assert scenario.starts(force=True) == ("old", True)


def test_a_run_is_followed_as_soon_as_its_revision_is_known(scenario: Scenario) -> None:
    scenario.stands(Status.RUNNING, "preprocess", Status.RUNNING)
    scenario.latest, scenario.revision = Execution("old", "InProgress", 1.0), "c1"
    assert scenario.starts() == ("old", True)


def test_a_run_that_a_changed_pipeline_cannot_end_is_stopped_before_the_next_one(scenario: Scenario) -> None:
    scenario.stands(Status.INTERRUPTED, "approval", Status.INTERRUPTED)
    scenario.latest = Execution("old", "InProgress", 1.0, "c1")
    assert scenario.starts() == ("new", True)
    assert scenario.calls == ["stop", "clear", "start"]


def test_another_revisions_run_in_progress_continues(scenario: Scenario) -> None:
    scenario.stands(Status.RUNNING, "train", Status.RUNNING)
    assert scenario.starts(source=Revision("COMMIT_ID", "c2")) == ("new", True)


def test_a_failed_stage_is_retried(scenario: Scenario) -> None:
    assert scenario.stands(Status.FAILED, "train").starts() == ("old", True)
    assert (scenario.retried, scenario.started) == (["train"], [])


def test_a_stack_whose_creation_failed_is_removed_before_the_deployment(scenario: Scenario) -> None:
    scenario.stands(Status.FAILED, "deploy").starts()
    scenario.starts(source=Revision("COMMIT_ID", "c2"))
    assert scenario.calls == ["clear", "retry", "clear", "start"]


def test_the_step_that_refused_a_result_is_retried(scenario: Scenario) -> None:
    scenario.stands(Status.FAILED, "train").stopped_at = "approval"
    assert scenario.starts() == ("old", True)
    assert scenario.retried == ["approval"]


def test_a_failed_run_remembers_its_overrides(scenario: Scenario) -> None:
    scenario.stands(Status.FAILED, "train", epochs="3")
    assert scenario.starts() == ("old", True)
    assert scenario.starts(source=Revision("COMMIT_ID", "c2")) == ("new", True)
    assert scenario.started[0]["overrides"] == encode({"train.epochs": "3"})


def test_a_new_run_starts_after_a_failed_run_that_cannot_be_retried(scenario: Scenario) -> None:
    scenario.stands(Status.FAILED, "train")
    assert scenario.starts(data="d2") == ("new", True)
    assert scenario.retried == []
    scenario.retryable = False
    assert scenario.starts() == ("new", True)


@pytest.mark.parametrize("status", [Status.REJECTED, Status.SUPERSEDED, Status.INTERRUPTED])
def test_a_new_run_starts_after_a_run_without_a_result(scenario: Scenario, status: Status) -> None:
    assert scenario.stands(status, "approval", status).starts() == ("new", True)


def test_a_start_at_a_stage_without_finished_earlier_stages(scenario: Scenario) -> None:
    with pytest.raises(MlopsError, match="No run has finished the stages before deploy"):
        scenario.starts(from_stage="deploy")
    scenario.stands(Status.FAILED, "train")
    with pytest.raises(MlopsError, match="before approval: preprocess, pre-training-tests, train"):
        scenario.starts(from_stage="approval")
    assert scenario.starts(from_stage="train") == ("new", True)


def test_a_start_at_a_stage_names_the_run_of_the_earlier_stages_and_its_record(scenario: Scenario) -> None:
    """The step that copies these stages runs the repository's code, so it must not choose the run."""
    scenario.stands(Status.FAILED, "train")
    scenario.exported = {"MLOPS_RECORD": "v7"}
    assert scenario.starts(from_stage="train") == ("new", True)
    assert scenario.started[-1]["from"] == "train@old:v7"
    scenario.given = scenario.started[-1]
    scenario.run.status = Status.RUNNING
    scenario.exported = {"MLOPS_RECORD": "v8"}
    assert scenario.starts(from_stage="train") == ("old", True), "it is under way, whichever run it takes them from"


@pytest.mark.parametrize("stage", ["approval", "deploy", "post-training-tests"])
def test_a_model_is_copied_only_from_a_run_with_a_verified_record(scenario: Scenario, stage: str) -> None:
    """Before that step, the steps of any commit may have written the run's record."""
    scenario.stands(Status.DONE).is_verified = False
    with pytest.raises(MlopsError, match=f"No run has finished the stages before {stage}"):
        scenario.starts(from_stage=stage)
    assert scenario.starts(from_stage="train") == ("new", True)
    scenario.is_verified = True
    assert scenario.starts(from_stage=stage) == ("new", True)


def test_a_model_that_was_rejected_later_is_not_brought_back(scenario: Scenario) -> None:
    scenario.stands(Status.DONE).approved = False
    with pytest.raises(MlopsError, match="was rejected after it had been approved") as caught:
        scenario.starts(from_stage="deploy")
    assert caught.value.exit_code == EXIT_REJECTED
    assert scenario.starts(from_stage="train") == ("new", True)


def test_the_same_wish_has_the_same_token_until_a_run_has_ended_otherwise(scenario: Scenario) -> None:
    scenario.stands(Status.REJECTED, "approval", Status.REJECTED)
    scenario.starts()
    scenario.starts()
    scenario.latest = replace(scenario.latest, id="other")  # type: ignore[type-var]
    scenario.starts()
    first, second, later = scenario.tokens
    assert first == second != later


def test_too_many_overrides_are_refused(scenario: Scenario) -> None:
    with pytest.raises(ConfigurationError, match="too many overrides for a pipeline variable"):
        scenario.starts(overrides={f"train.p{number}": "x" * 20 for number in range(40)})


def test_a_run_whose_endpoint_could_not_be_deployed_sends_nothing() -> None:
    use_case = load_use_case(USE_CASES / "tiny" / "training" / "usecase.toml")
    machines = replace(use_case.machines, endpoint=replace(use_case.machines.endpoint, serverless=True))
    deployed: Any = SimpleNamespace(
        project=None,
        use_case=replace(use_case, machines=machines),
        outputs=SimpleNamespace(company=CompanyAccount(subnets=("subnet-1",))),
    )
    with pytest.raises(ConfigurationError, match="A serverless endpoint cannot be in a VPC"):
        prepare_start(deployed, RunRequest())


@pytest.mark.parametrize("status", [Status.RUNNING, Status.FAILED, Status.DONE])
def test_invalid_overrides_from_the_console_do_not_stop_a_new_run(scenario: Scenario, status: Status) -> None:
    scenario.stands(status, "" if status is Status.DONE else "preprocess")
    scenario.given["overrides"] = "epochs=2"
    assert scenario.starts() == ("new", True)
    assert scenario.started[-1]["overrides"] == encode({})


def test_a_rollback_that_another_deployment_has_overtaken_is_not_retried(scenario: Scenario) -> None:
    scenario.stands(Status.FAILED, "deploy").run.deployment.detail = {OVERTAKEN: "another"}
    assert scenario.starts() == ("new", True)
    assert scenario.retried == []
