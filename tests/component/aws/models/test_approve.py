"""Approvals with a pipeline and a registry in memory: permission, time, effect."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import Execution
from mlops_cli.backends.aws.clients.model_registry import APPROVED, DELETED, PENDING
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails, summary_of
from mlops_cli.backends.aws.models.approve import ApprovalSender
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.errors import EXIT_REJECTED, MlopsError

LIMITS = AcceptedLimits({"metrics.split": "test"})
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/tiny-dev/1"


class Scenario:
    """One run that waits for a decision, and the calls to the other objects, in order."""

    def __init__(self) -> None:
        self.run = new_run("r1", {})
        self.run.status = self.gate.status = Status.WAITING
        self.gate.detail = {"package": PACKAGE}
        self.waiting_token = "t1"
        self.taken = True
        self.package_status = PENDING
        self.said: list[tuple[Any, ...]] = []
        self.pipeline = self.run_store = self

    @property
    def gate(self) -> Any:
        return self.run.stage("approval")

    def refresh(self, run_id: str) -> Run:
        return self.run

    def load(self, run_id: str) -> Run:
        return self.run

    def wait_for_status_change(self, run_id: str, status: Status) -> None: ...

    def clear_endpoint_stack(self) -> None:
        self.said.append(("endpoint stack",))

    def executions(self) -> Any:
        return iter([Execution("r2", "InProgress", 2.0), Execution("r1", "Stopped", 1.0)])

    def awaited_token(self, run_id: str, stage: str, action: str) -> str:
        return self.waiting_token

    def stands(self, status: Status, gate: Status, reason: str = "") -> Scenario:
        for stage in self.run.stages[:3]:
            stage.status = Status.DONE
        self.run.status, self.gate.status, self.gate.reason = status, gate, reason
        return self

    @property
    def decider(self) -> ApprovalSender:
        double: Any = self
        saved: Any = SimpleNamespace(save=lambda accepted: accepted.digest)
        return ApprovalSender(double, Registry(self.said, self.package_status), saved)  # type: ignore[arg-type]

    def decide(self, stage: str, action: str, approved: bool, comment: str, token: str) -> bool:
        self.said.append(("pipeline", stage, action, approved, comment, token))
        return self.taken


class Registry:
    def __init__(self, sent: list[tuple[Any, ...]], status: str) -> None:
        self.said = sent
        self._status = status

    def status(self, package: str) -> str:
        return self._status if package == PACKAGE else APPROVED

    def decide(self, package: str, approved: bool, comment: str) -> None:
        self.said.append(("registry", package, approved, comment))


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


@pytest.mark.parametrize("approved", [True, False])
def test_the_registry_has_the_decision_before_the_pipeline_continues(scenario: Scenario, approved: bool) -> None:
    scenario.decider.send(scenario.run, approved, "good", LIMITS)
    assert scenario.said == [
        *([("endpoint stack",)] if approved else []),
        ("registry", PACKAGE, approved, "good"),
        (
            "pipeline",
            "approval",
            "decision",
            approved,
            summary_of("good", DecisionDetails(accepted=LIMITS.digest)),
            "t1",
        ),
    ]


def test_a_second_decision_is_refused_with_the_first_approver(scenario: Scenario) -> None:
    def taken_by_anna(*_: Any) -> bool:
        scenario.run.decision = Decision("r1", True, Actor("anna"), "", 1.0, "k", "m")
        scenario.run.status = Status.RUNNING
        return False

    scenario.decide = taken_by_anna  # type: ignore[method-assign]
    with pytest.raises(MlopsError, match="already approved by anna"):
        scenario.decider.send(scenario.run, False, "", LIMITS)
    assert scenario.said[-1] == ("registry", PACKAGE, True, "by anna"), "the package is as they have decided"


def test_a_decision_that_gets_lost_is_no_decision(scenario: Scenario) -> None:
    scenario.waiting_token = ""
    with pytest.raises(MlopsError, match="did not accept the decision") as caught:
        scenario.decider.send(scenario.run, True, "", LIMITS)
    assert caught.value.hint == "Try again: mlops approve r1"


@pytest.mark.parametrize(
    ("status", "gate", "reason", "message", "hint"),
    [
        (Status.RUNNING, Status.RUNNING, "", "does not wait for an approval: it is running", "mlops run"),
        (Status.RUNNING, Status.PENDING, "queued behind run r0", "queued behind run r0", "approve r0"),
        (Status.FAILED, Status.FAILED, "there was no decision within seven days", "within seven days", "mlops run"),
        (Status.SUPERSEDED, Status.INTERRUPTED, "", "superseded by a newer one", "mlops status r2"),
        (Status.INTERRUPTED, Status.INTERRUPTED, "", "it is interrupted", "mlops run"),
    ],
)
def test_the_reason_why_no_decision_is_possible(
    scenario: Scenario, status: Status, gate: Status, reason: str, message: str, hint: str
) -> None:
    scenario.stands(status, gate, reason)
    with pytest.raises(MlopsError, match=message) as caught:
        scenario.decider.send(scenario.run, True, "", LIMITS)
    assert hint in caught.value.hint
    assert scenario.said == []


def test_a_model_with_a_deleted_package_cannot_be_approved(scenario: Scenario) -> None:
    scenario.package_status = DELETED
    with pytest.raises(MlopsError, match=f"The model package {PACKAGE} was deleted") as caught:
        scenario.decider.check(scenario.run)
    assert "mlops run --from approval" in caught.value.hint
    with pytest.raises(MlopsError, match="was deleted"):
        scenario.decider.send(scenario.run, True, "", LIMITS)
    assert scenario.said == []


def test_a_rejected_run_stays_rejected(scenario: Scenario) -> None:
    scenario.stands(Status.REJECTED, Status.REJECTED).run.decision = Decision(
        "r1", False, Actor("anna"), "no", 1.0, "k", "m"
    )
    with pytest.raises(MlopsError, match="was rejected by anna: no") as caught:
        scenario.decider.check(scenario.run)
    assert caught.value.exit_code == EXIT_REJECTED
