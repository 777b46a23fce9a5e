"""A deployment waits for the tests of the model before it; a rollback replaces no other model than it was to."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Execution
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails
from mlops_cli.backends.aws.stages import deployment_order
from mlops_cli.backends.aws.stages.deployment_order import (
    earlier_tested_run,
    require_replaced_model,
    wait_for_earlier_run,
)
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.decision import DecisionKind, NamedModel
from mlops_cli.core.models.model_versions import OVERTAKEN

DEPLOYED = [ActionRun("deploy", "endpoint", "Succeeded", 1.0, 2.0)]
WAITING = [ActionRun("approval", "decision", "InProgress", 1.0, 2.0)]


class Pipeline:
    """Executions, the newest first, with the actions of each. After some polls the earlier run has ended."""

    def __init__(self, *executions: tuple[str, str, list[ActionRun]], ends_after: int = 99) -> None:
        self.listed, self.polls, self.ends_after = executions, 0, ends_after

    def executions(self) -> Any:
        self.polls += 1
        ended = self.polls > self.ends_after
        for run_id, status, _ in self.listed:
            yield Execution(run_id, "Succeeded" if ended and run_id != "ours" else status, 1.0)

    def actions(self, run_id: str) -> list[ActionRun]:
        return next(actions for listed, _, actions in self.listed if listed == run_id)


OURS = ("ours", "InProgress", WAITING)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([("a", "InProgress", DEPLOYED)], "a"),
        ([("a", "InProgress", WAITING)], ""),
        ([("a", "Failed", DEPLOYED), ("b", "InProgress", DEPLOYED)], "b"),
        ([("a", "Succeeded", DEPLOYED), ("b", "InProgress", DEPLOYED)], ""),
        ([], ""),
    ],
)
def test_the_run_that_still_tests_its_model(others: list[Any], expected: str) -> None:
    newer = ("newer", "InProgress", DEPLOYED)
    pipeline: Any = Pipeline(newer, OURS, *others)
    assert earlier_tested_run("ours", pipeline) == expected


def test_a_deployment_waits_until_the_earlier_run_has_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deployment_order, "POLL_SECONDS", 0.0)
    pipeline: Any = Pipeline(OURS, ("a", "InProgress", DEPLOYED), ends_after=3)
    wait_for_earlier_run("ours", pipeline)
    assert pipeline.polls == 4
    assert [record.getMessage() for record in caplog.records] == ["Run a tests its model; the deployment waits for it."]


def test_a_deployment_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment_order, "LIMIT_SECONDS", 0.0)
    pipeline: Any = Pipeline(OURS, ("a", "InProgress", DEPLOYED))
    with pytest.raises(StageFailed, match="Run a still tests its model") as caught:
        wait_for_earlier_run("ours", pipeline)
    assert caught.value.hint == "Wait for it: mlops status a --follow. Then continue: mlops run"


V1, V2, V3 = (NamedModel(f"v{number}", str(number) * 64) for number in (1, 2, 3))
ROLLBACK = DecisionDetails(DecisionKind.ROLLBACK, rollback_to=V1, rolled_back_from=V2)


@pytest.mark.parametrize("deployed", ["", V1.digest, V2.digest])
def test_a_rollback_goes_on_with_the_model_that_it_was_to_replace(deployed: str) -> None:
    require_replaced_model(ROLLBACK, deployed)
    require_replaced_model(DecisionDetails(), V3.digest)


def test_a_rollback_leaves_a_model_that_was_deployed_since_its_start() -> None:
    with pytest.raises(StageFailed, match="The rollback from v2 to v1 was not made: the model 333333333333") as caught:
        require_replaced_model(ROLLBACK, V3.digest)
    assert caught.value.detail == {OVERTAKEN: V3.digest}
    assert "mlops rollback --to v1" in caught.value.hint
