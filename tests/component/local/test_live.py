"""The deployed model is the approved one, according to the records. Scripts and server are replaced."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

import pytest

from mlops_cli.backends.local.doctor import endpoint as examine_endpoint
from mlops_cli.core.checks import State
from mlops_cli.core.endpoint import EndpointState
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.decision import Actor, DecisionKind
from mlops_cli.core.runs import Status
from mlops_cli.errors import EXIT_REJECTED, MlopsError
from tests.component.local.scenario import Scenario, killed_at

SYSTEM = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path / "project").make()


def three(scenario: Scenario) -> Scenario:
    for epochs in (1, 2, 3):
        scenario.live(epochs)
    return scenario


def test_rolled_back_although_the_server_is_down(scenario: Scenario) -> None:
    three(scenario)
    scenario.server.is_down = True
    assert scenario.backend.models.plan_rollback("").target.name == "v2"
    scenario.rollback(comment="v3 is bad")
    assert (scenario.served, scenario.version("v3").approved, scenario.version("v2").approved) == ("v2", False, True)
    assert scenario.run(3).status is Status.WAITING, "what was rolled back never comes back unasked"


def test_rolled_back_although_the_endpoint_s_folder_is_gone(scenario: Scenario) -> None:
    three(scenario)
    scenario.server.file.unlink()
    status = scenario.backend.endpoint.status()
    assert (status.state, status.deployed_digest[:4]) == (EndpointState.FAILED, scenario.version("v3").digest[:4])
    scenario.rollback("v1", "v3 is bad")
    assert (scenario.served, scenario.version("v3").approved) == ("v1", False)


def test_without_a_server_the_evidence_is_compared_with_the_deployed_model(scenario: Scenario) -> None:
    scenario.live(1)
    scenario.server.is_down = True
    waiting = scenario.run(2)
    evidence = scenario.backend.approvals.evidence(waiting)
    assert (evidence.live_digest, evidence.has_champion) == (scenario.version("v1").digest, True)


def test_a_live_model_that_was_rejected_is_not_called_approved(scenario: Scenario) -> None:
    scenario.live(1)
    scenario.limit("0.61")
    waiting_run = scenario.run(1)
    assert waiting_run.status is Status.WAITING
    scenario.approve(waiting_run, "not good enough any more", approved=False)
    status = scenario.backend.endpoint.status()
    assert (status.live_digest, status.approved_digest, status.is_approved) == (status.deployed_digest, "", False)
    assert "which was rejected by" in status.served
    assert [finding.state for finding in examine_endpoint(scenario.project, scenario.backend.endpoint)] == [
        State.FAILURE
    ]


def test_a_live_model_that_failed_its_gate_is_not_called_approved(scenario: Scenario) -> None:
    first = scenario.run(1)
    scenario.stages.bad.add(first.stage("train").output)
    with pytest.raises(StageFailed, match="there is no earlier approved one"):
        scenario.approve(first)
    status = scenario.backend.endpoint.status()
    assert (status.is_approved, status.objection) == (
        False,
        f"has failed the gate post-training-tests in run {first.id}",
    )
    assert [finding.state for finding in examine_endpoint(scenario.project, scenario.backend.endpoint)] == [
        State.FAILURE
    ]
    scenario.stages.bad.clear()
    assert scenario.run(1).status is Status.DONE
    assert scenario.backend.endpoint.status().is_approved, "once it has passed"


def test_a_comment_that_imitates_a_rollback_has_no_effect(scenario: Scenario) -> None:
    scenario.live(1)
    second = scenario.run(2)
    scenario.stages.bad.add(second.stage("train").output)
    with pytest.raises(StageFailed, match="Rolled back: the endpoint serves the approved v1"):
        scenario.approve(second, "rolled back to the larger learning rate")
    assert scenario.served == "v1"
    back = scenario.backend.runs.get()
    assert back.decision is not None
    assert (back.decision.kind, back.decision.actor.name) == (DecisionKind.AUTOMATIC_ROLLBACK, "mlops")


def test_a_rollback_that_fails_its_gate_is_reported_and_the_next_one_goes_further(scenario: Scenario) -> None:
    three(scenario)
    scenario.stages.bad.add(scenario.version("v2").digest)
    with pytest.raises(StageFailed):
        scenario.rollback()
    assert "has failed the gate" in scenario.backend.endpoint.status().objection
    scenario.rollback()
    assert scenario.record["approved"] == {"v3": False, "v2": False, "v1": True}
    assert (scenario.served, scenario.backend.endpoint.status().is_approved) == ("v1", True)


def test_an_automatic_rollback_that_fails_too_leaves_no_model_that_is_called_approved(scenario: Scenario) -> None:
    scenario.live(1)
    second = scenario.run(2)
    scenario.stages.bad |= {second.stage("train").output, scenario.version("v1").digest}
    with pytest.raises(StageFailed, match="failed, too"):
        scenario.approve(second)
    status = scenario.backend.endpoint.status()
    assert (scenario.served, status.is_approved) == ("v1", False)
    assert "has failed the gate" in status.objection


def test_a_single_stage_deploys_nothing_that_was_rejected_since(scenario: Scenario) -> None:
    first, second = scenario.live(1), scenario.live(2)
    scenario.rollback(comment="v2 is bad")
    for server_is_down in (False, True):
        scenario.server.is_down = server_is_down
        with pytest.raises(MlopsError, match=r"was rejected by .*v2 is bad") as caught:
            scenario.stage("deploy", second)
        assert caught.value.exit_code == EXIT_REJECTED
    scenario.stage("deploy", first)
    assert scenario.served == "v1"


def test_a_single_stage_deploys_nothing_that_is_rejected_while_it_is_live(scenario: Scenario) -> None:
    first = scenario.live(1)
    scenario.limit("0.61")
    scenario.approve(scenario.run(1), "no more", approved=False)
    with pytest.raises(MlopsError, match="was rejected by"):
        scenario.stage("deploy", first)


def test_nothing_is_deployed_under_a_limit_that_its_approval_did_not_see(scenario: Scenario) -> None:
    first = scenario.live(1)
    scenario.live(2)
    scenario.limit("0.9")
    with pytest.raises(MlopsError, match="does not cover the present limits"):
        scenario.stage("deploy", first)
    with pytest.raises(MlopsError):
        scenario.run(2, from_stage="deploy")
    assert scenario.served == "v2"


def test_a_limit_that_was_lowered_for_the_approval_holds_when_it_is_back(scenario: Scenario) -> None:
    scenario.limit("0.95")
    run = scenario.run(1)
    scenario.limit("0.1")
    with pytest.raises(MlopsError, match=r"0\.600 is under 0\.95, at the time of the request"):
        scenario.approve(run)
    scenario.approve(run, "it is only a trial")
    scenario.limit("0.95")
    assert scenario.run(1).status is Status.WAITING


@pytest.mark.parametrize("comment", ["", " ", "\t\n", "...", "\u200b"])
def test_an_empty_reason_is_no_reason(scenario: Scenario, comment: str) -> None:
    scenario.limit("0.95")
    run = scenario.run(1)
    with pytest.raises(MlopsError, match="needs a reason"):
        scenario.approve(run, comment)
    assert scenario.backend.runs.get(run.id).status is Status.WAITING


def test_an_approval_with_a_reason_is_valid_under_the_same_limits(scenario: Scenario) -> None:
    scenario.limit("0.95")
    run = scenario.approve(scenario.run(1), "a trial")
    assert run.decision is not None
    assert run.decision.shortfalls == ("macro: roc_auc 0.600 is under 0.95",)
    assert run.decision.limits["minimum of macro roc_auc"] == "0.95"
    second_run = scenario.run(2)
    scenario.approve(second_run, "better")
    assert scenario.run(1).status is Status.DONE, "the same model under the same limits"
    assert scenario.served == "v1"


@pytest.mark.parametrize("value", ["1e999", "Infinity", "-Infinity", "NaN", "true", '"0.99"', "[1]", "1" + "0" * 400])
def test_a_metric_that_is_no_number_is_a_shortfall(scenario: Scenario, value: str) -> None:
    scenario.stages.metrics = scenario.stages.metrics.replace("QUALITY", value)
    run = scenario.run(1)
    evidence = scenario.backend.approvals.evidence(run)
    assert evidence.rows[0].metrics == {"roc_auc": None}
    assert "roc_auc is not a number: " in evidence.shortfalls[0]
    with pytest.raises(MlopsError, match="needs a reason"):
        scenario.approve(run)


def test_the_last_decision_about_a_model_counts_under_any_limits(scenario: Scenario) -> None:
    scenario.live(1)
    scenario.limit("0.61")
    scenario.approve(scenario.run(1), "no", approved=False)
    scenario.limit("0.5")
    assert scenario.run(1).status is Status.WAITING


def test_two_approvals_under_two_limits_hold_each_for_its_own(scenario: Scenario) -> None:
    scenario.live(1)
    scenario.limit("0.55")
    second = scenario.run(1)
    assert second.status is Status.WAITING
    scenario.approve(second)
    assert scenario.backend.endpoint.status().is_approved
    for floor in ("0.5", "0.55"):
        scenario.limit(floor)
        assert scenario.run(1).status is Status.DONE


def test_a_candidate_waits_on_while_another_model_comes_back(scenario: Scenario) -> None:
    three(scenario)
    waiting = scenario.run(4)
    scenario.rollback("v1", "both are bad")
    assert (scenario.served, scenario.backend.runs.get(waiting.id).status) == ("v1", Status.WAITING)
    assert scenario.backend.approvals.evidence(waiting).live_digest == scenario.version("v1").digest
    scenario.approve(waiting)
    assert scenario.served == "v4"
    scenario.rollback()
    assert scenario.served == "v1", "the one before, and none that was given up"


def test_repeated_after_its_end_a_rollback_goes_no_further(scenario: Scenario) -> None:
    three(scenario)
    first = scenario.rollback()
    for version in ("", "v2"):
        assert scenario.rollback(version).id == first.id
    assert scenario.record["approved"] == {"v3": False, "v2": True, "v1": True}
    scenario.rollback("v1")
    assert scenario.served == "v1"


def test_a_rollback_after_a_later_approval_is_a_new_one(scenario: Scenario) -> None:
    three(scenario)
    scenario.rollback()
    scenario.live(4)
    scenario.rollback()
    assert (scenario.served, scenario.version("v4").approved) == ("v2", False)


def test_a_rollback_to_a_model_with_a_shortfall_needs_a_reason_and_names_the_shortfall(scenario: Scenario) -> None:
    three(scenario)
    scenario.limit("0.85")
    plan = scenario.backend.models.plan_rollback("")
    assert plan.shortfalls == ("macro: roc_auc 0.800 is under 0.85",)
    back = scenario.rollback(comment="still better than v3")
    assert back.decision is not None
    assert back.decision.shortfalls == plan.shortfalls
    assert back.decision.limits["minimum of macro roc_auc"] == "0.85", "those of now, as on AWS"


@pytest.mark.parametrize(("versions", "to", "down"), [(2, "", False), (3, "", True), (3, "v2", False)])
def test_a_rollback_that_is_killed_anywhere_is_finished_by_the_same_command(
    scenario: Scenario, tmp_path: Path, versions: int, to: str, down: bool
) -> None:
    for epochs in range(1, versions + 1):
        scenario.live(epochs)
    before = f"v{versions - 1}"
    approved = {f"v{number}": number != versions for number in range(1, versions + 1)}
    call, killed = 0, True
    while killed:
        call += 1
        copied = scenario.copy(tmp_path / f"killed-{call}")
        copied.server.is_down = down
        killed = killed_at(call, lambda: copied.rollback(to, "why"))  # noqa: B023
        assert copied.rollback(to, "why").status is Status.DONE, f"killed at call {call}"
        assert (copied.served, copied.record["approved"]) == (before, approved), f"killed at call {call}"
        assert copied.backend.endpoint.status().is_approved
        assert [run.status for run in copied.backend.runs.list_runs()] == [Status.DONE] * (versions + 1)
    assert call > 15


def test_an_approval_that_is_killed_anywhere_is_finished_by_run_and_by_itself(
    scenario: Scenario, tmp_path: Path
) -> None:
    scenario.live(1)
    waiting = scenario.run(2)
    call, killed = 0, True
    while killed:
        call += 1
        copied = scenario.copy(tmp_path / f"killed-{call}")
        killed = killed_at(call, lambda: copied.approve(waiting))  # noqa: B023
        twin = copied.copy(tmp_path / f"repeated-{call}")
        assert twin.approve(waiting).status is Status.DONE, f"killed at call {call}"
        assert (twin.served, len(twin.backend.services.store.decisions())) == ("v2", 2), f"killed at call {call}"
        if copied.backend.runs.get(waiting.id).status is Status.WAITING:
            copied.approve(waiting)
        assert copied.run(2).status is Status.DONE, f"killed at call {call}"
        assert (copied.served, copied.record["deployed"]) == ("v2", ["v2"]), f"killed at call {call}"
        assert copied.backend.endpoint.status().is_approved


@pytest.mark.parametrize("ending", ["run", "rollback"])
def test_a_model_that_fails_its_gate_goes_although_the_command_is_killed(
    scenario: Scenario, tmp_path: Path, ending: str
) -> None:
    scenario.live(1)
    waiting = scenario.run(2)
    scenario.stages.bad.add(waiting.stage("train").output)
    call, killed = 0, True
    while killed:
        call += 1
        copied = scenario.copy(tmp_path / f"killed-{call}")
        killed = killed_at(call, lambda: copied.approve(waiting))  # noqa: B023
        if copied.backend.runs.get(waiting.id).status is Status.WAITING:
            continue
        if ending == "rollback" and copied.record["deployed"] == ["v1"] and copied.version("v2").approved:
            continue  # it had not come to the deployment
        with contextlib.suppress(StageFailed):
            copied.run(2) if ending == "run" else copied.rollback()
        assert (copied.served, copied.record["deployed"]) == ("v1", ["v1"]), f"killed at call {call}"
        assert copied.record["approved"] == {"v1": True, "v2": False}, f"killed at call {call}"
        assert copied.backend.endpoint.status().is_approved


def test_no_model_that_failed_its_gate_is_gone_back_to_unasked(scenario: Scenario) -> None:
    three(scenario)
    second = scenario.version("v2").digest
    scenario.stages.bad.add(second)
    with pytest.raises(StageFailed):
        scenario.rollback("v2")
    scenario.live(4)
    scenario.rollback()
    assert scenario.served == "v1"


def test_a_stage_that_was_decided_about_is_not_made_again(scenario: Scenario) -> None:
    run = scenario.live(1)
    with pytest.raises(MlopsError, match="already has a decision"):
        scenario.stage("train", run)


def test_the_approver_is_the_systems_user_and_the_environments_name_is_a_claim(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    run = scenario.live(1)
    assert run.decision is not None
    assert run.decision.actor == Actor(SYSTEM, "alice")


def test_a_repeated_approval_deploys_nothing_over_a_later_model(scenario: Scenario) -> None:
    first = scenario.live(1)
    scenario.server.refuses = True
    second = scenario.run(2)
    with pytest.raises(StageFailed):
        scenario.approve(second)
    scenario.server.refuses = False
    third = scenario.run(3)
    assert scenario.approve(third).status is Status.DONE
    for older in (first, second):
        with pytest.raises(MlopsError, match="was rejected or replaced"):
            scenario.approve(older)
    assert scenario.served == "v3"
    assert scenario.approve(third).status is Status.DONE


@pytest.mark.parametrize("back", ["by a person", "by the gate"])
def test_a_repeated_approval_deploys_nothing_that_was_rolled_back(scenario: Scenario, back: str) -> None:
    scenario.live(1)
    second = scenario.run(2)
    if back == "by the gate":
        scenario.stages.bad.add(second.stage("train").output)
        with pytest.raises(StageFailed):
            scenario.approve(second)
    else:
        scenario.approve(second)
        scenario.rollback()
    with pytest.raises(MlopsError, match="was rejected"):
        scenario.approve(second)
    assert scenario.served == "v1"


def test_a_repeated_rejection_stays_one_and_no_approval_follows_it(scenario: Scenario) -> None:
    run = scenario.run(1)
    for _ in range(2):
        assert scenario.approve(run, "no", approved=False).status is Status.REJECTED
    with pytest.raises(MlopsError, match="was rejected by"):
        scenario.approve(run)
    assert len(scenario.backend.services.store.decisions()) == 1
