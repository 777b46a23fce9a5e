"""The status of a run, from CodePipeline and the steps' records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Execution
from mlops_cli.backends.aws.runs.failure_reason import AGAIN, FailureExplainer
from mlops_cli.backends.aws.runs.queries import raise_for_status
from mlops_cli.backends.aws.runs.status import APPROVAL_TIMEOUT_SECONDS, build_run
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.decision import arn_name
from mlops_cli.core.runs import CONTINUE, Run, Status, new_run
from mlops_cli.core.stages import position

ID = "0b5e8a52-0000-4000-8000-000000000001"
ANNA = "arn:aws:iam::000000000000:user/anna"
D, F, S, N, P, R, U, W = (
    Status.DONE,
    Status.FAILED,
    Status.INTERRUPTED,
    Status.REJECTED,
    Status.PENDING,
    Status.RUNNING,
    Status.REUSED,
    Status.WAITING,
)
LINE = (
    ("preprocess", "command"),
    ("preprocess", "job"),
    ("pre-training-tests", "command"),
    ("train", "command"),
    ("train", "job"),
    ("approval", "command"),
    ("approval", "decision"),
    ("deploy", "command"),
    ("deploy", "endpoint"),
    ("post-training-tests", "command"),
    ("post-training-tests", "rollback"),
    ("post-training-tests", "endpoint"),
    ("post-training-tests", "gate-result"),
)


def actions(count: int, last: str = "InProgress", **fields: Any) -> list[ActionRun]:
    """Return the first ``count`` actions of the pipeline, one second each. All except the last have succeeded."""
    action_runs = [
        ActionRun(stage, name, "Succeeded", 10.0 + n, 11.0 + n) for n, (stage, name) in enumerate(LINE[:count])
    ]
    return [*action_runs[:-1], replace(action_runs[-1], status=last, **fields)]


def execution(status: str = "InProgress", **fields: Any) -> Execution:
    return Execution(ID, status, 9.0, **fields)


def recorded(**statuses: Status) -> Run:
    """Return a run as its steps have recorded it."""
    run = new_run(ID, {"train.epochs": "2"})
    for name, status in statuses.items():
        stage = run.stage(name.replace("_", "-"))
        stage.status, stage.reason, stage.output = status, f"why {name}", f"made by {name}"
    return run


def statuses(run: Run) -> list[Status]:
    return [stage.status for stage in run.stages]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [R, P, P, P, P, P]),
        (2, [R, P, P, P, P, P]),
        (3, [D, R, P, P, P, P]),
        (5, [D, D, R, P, P, P]),
        (6, [D, D, D, R, P, P]),
        (7, [D, D, D, W, P, P]),
        (8, [D, D, D, D, R, P]),
        (10, [D, D, D, D, D, R]),
        (11, [D, D, D, D, D, R]),
        (12, [D, D, D, D, D, R]),
        (13, [D, D, D, D, D, R]),
    ],
)
def test_a_run_that_continues(count: int, expected: list[Status]) -> None:
    run = build_run(execution(), recorded(), actions(count))
    assert statuses(run) == expected
    assert run.status is (W if W in expected else R)


def test_between_its_two_actions_a_stage_is_running_and_after_them_done() -> None:
    assert statuses(build_run(execution(), recorded(), actions(1, "Succeeded")))[0] is R
    assert statuses(build_run(execution(), recorded(), actions(2, "Succeeded")))[0] is D


def test_a_finished_run_has_times_outputs_and_overrides() -> None:
    record = recorded(preprocess=U, train=D)
    run = build_run(execution("Succeeded"), record, actions(len(LINE), "Succeeded"))
    assert (run.status, run.created_at, run.overrides) == (D, 9.0, {"train.epochs": "2"})
    assert statuses(run) == [U, D, D, D, D, D]
    assert run.stage("train").seconds == 2.0
    assert (run.stage("train").output, run.stage("train").reason) == ("made by train", "why train")


def test_before_its_first_step_a_run_has_no_record() -> None:
    assert statuses(build_run(execution(), None, [])) == [P] * 6


def test_a_failed_command_step_keeps_its_own_words() -> None:
    run = build_run(execution("Failed"), recorded(pre_training_tests=F), actions(3, "Failed", error="exit status 3"))
    assert (run.status, statuses(run)) == (F, [D, F, P, P, P, P])
    assert run.stage("pre-training-tests").reason == "why pre_training_tests"


def test_a_failed_job_has_codepipelines_message_until_its_own_is_known() -> None:
    run = build_run(execution("Failed"), recorded(train=R), actions(5, "Failed", error="States.TaskFailed"))
    assert (run.status, statuses(run)) == (F, [D, D, F, P, P, P])
    assert run.stage("train").reason == "States.TaskFailed"


def test_a_result_that_the_next_step_found_wanting_failed_and_not_that_step() -> None:
    run = build_run(execution("Failed"), recorded(preprocess=F), actions(3, "Failed", error="exit status 3"))
    assert statuses(run) == [F, P, P, P, P, P]
    assert run.stage("preprocess").reason == "why preprocess"


def test_a_retry_forgets_the_attempt_before() -> None:
    first = actions(5, "Failed", error="States.TaskFailed")
    repeated = ActionRun("train", "command", "InProgress", 30.0, 30.0)
    run = build_run(execution(), recorded(train=F), [*first, repeated])
    assert (run.status, run.stage("train").status, run.stage("train").reason) == (R, R, "")
    assert run.stage("train").started_at == 30.0
    job = ActionRun("train", "job", "Succeeded", 31.0, 32.0)
    done = build_run(execution(), recorded(train=R), [*first, replace(repeated, status="Succeeded"), job])
    assert done.stage("train").status is D


def test_a_decision_has_its_approver_and_reason() -> None:
    record = recorded(approval=W)
    record.stage("approval").key = "k"
    arguments = actions(8)
    arguments[6] = replace(arguments[6], actor=ANNA, summary="good")
    decision = build_run(execution(), record, arguments).decision
    assert decision is not None
    assert (decision.approved, decision.actor.name, decision.comment, decision.at) == (True, "anna", "good", 17.0)
    assert (decision.key, decision.model_digest, decision.run_id) == ("k", "made by approval", ID)


def test_a_rejection_is_no_failure() -> None:
    run = build_run(execution("Failed"), recorded(), actions(7, "Failed", actor=ANNA, summary="too rude"))
    assert (run.status, statuses(run)) == (N, [D, D, D, N, P, P])
    assert run.stage("approval").reason == "by anna: too rude"
    assert run.decision is not None
    assert run.decision.approved is False


def test_the_end_of_a_wait_for_a_decision_is_named() -> None:
    waiting = build_run(execution(), recorded(), actions(7)).stage("approval")
    assert waiting.reason == "for a decision until 1970-01-08 00:00 UTC"


def test_seven_days_without_a_decision_are_none() -> None:
    late = actions(7, "Failed")
    late[-1] = replace(late[-1], updated=late[-1].started + APPROVAL_TIMEOUT_SECONDS)
    run = build_run(execution("Failed"), recorded(), late)
    assert (run.status, run.decision) == (F, None)
    assert run.stage("approval").reason == "there was no decision within seven days"


@pytest.mark.parametrize(
    ("status", "why", "expected"),
    [
        ("Stopped", "Anna needs the machine", S),
        ("Stopping", "", S),
        ("Cancelled", "", S),
        ("Stopped", "superseded by run 1234", Status.SUPERSEDED),
        ("Superseded", "", Status.SUPERSEDED),
    ],
)
def test_a_stopped_run_is_interrupted_or_superseded(status: str, why: str, expected: Status) -> None:
    run = build_run(execution(status, stopped_because=why), recorded(), actions(5, "Abandoned"))
    assert (run.status, run.stage("train").status) == (expected, S)
    assert run.stage("train").reason == (why or "stopped")
    assert run.decision is None


def test_copied_stages_stay_unchanged() -> None:
    record = recorded(preprocess=U, pre_training_tests=U)
    assert statuses(build_run(execution(), record, actions(1))) == [U, U, P, P, P, P]


def test_a_reused_job_need_not_be_waited_for_but_a_decision_and_a_deployment_must() -> None:
    record = recorded(preprocess=U, pre_training_tests=U, train=U, approval=U, deploy=U)
    assert statuses(build_run(execution(), record, actions(4))) == [U, U, U, U, U, P]
    assert statuses(build_run(execution(), record, actions(7))) == [U, U, U, W, U, P]
    assert statuses(build_run(execution(), record, actions(9))) == [U, U, U, U, R, P]


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (ANNA, "anna"),
        ("arn:aws:sts::1:assumed-role/Developer/ben", "ben"),
        ("arn:aws:iam::1:root", "root"),
        ("", "unknown"),
    ],
)
def test_the_name_of_the_approver(arn: str, name: str) -> None:
    assert arn_name(arn) == name


@pytest.mark.parametrize(
    ("stage", "failure", "hint"),
    [
        ("preprocess", "InternalServerError: We encountered an internal error.", AGAIN),
        ("train", "CapacityError: Unable to provision requested ML compute capacity.", AGAIN),
        ("train", "AlgorithmError: ValueError: no rows", CONTINUE),
    ],
)
def test_after_a_failure_of_sagemaker_itself_the_stage_is_to_be_repeated(
    monkeypatch: pytest.MonkeyPatch, stage: str, failure: str, hint: str
) -> None:
    monkeypatch.setattr(FailureExplainer, "_tail", lambda *_: [])
    monkeypatch.setattr(FailureExplainer, "_failure", lambda *_: failure)
    run = new_run("r", {})
    for record in run.stages[: position(stage)]:
        record.status = D
    run.status = run.stage(stage).status = F
    failed = ActionRun(stage, "job", "Failed", 1.0, 2.0)
    explained = FailureExplainer(None, lambda _: "").explain(run, None, [failed])  # type: ignore[arg-type]
    with pytest.raises(StageFailed, match=failure) as caught:
        raise_for_status(explained)
    assert caught.value.hint == hint
