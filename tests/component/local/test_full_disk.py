"""The disk is full from the n-th change of a file on: no change is half done, and the records are readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.runs import Status
from mlops_cli.project.usecase.data_request import data_request
from tests.component.local.scenario import DONE_ALL_THE_SAME, NOT_FULL, REFUSED, Scenario, full_at


def download(scenario: Scenario) -> None:
    backend = scenario.backend
    backend.data.download(data_request(backend.services.use_case, [str(scenario.folder / "more.csv")]), lambda *_: None)
    assert scenario.backend.data.dataset().rows == 30


def run(scenario: Scenario) -> None:
    assert scenario.run(2).status is Status.WAITING


def approve(scenario: Scenario) -> None:
    assert scenario.approve(scenario.backend.runs.list_runs()[0]).status is Status.DONE
    assert scenario.served == "v2"


def rollback(scenario: Scenario) -> None:
    assert scenario.rollback(comment="bad").status is Status.DONE
    assert scenario.served == "v1"


def read(scenario: Scenario) -> None:
    """Read the records as `status`, `models` and `doctor` do. They never contradict each other."""
    backend = scenario.backend
    backend.data.dataset()
    backend.endpoint.status()
    for run in backend.runs.list_runs():
        before = [stage.status.has_output for stage in run.stages]
        assert before == sorted(before, reverse=True)
    assert len([model for model in backend.models.list_versions() if model.is_deployed]) == 1
    assert all(finding.name != "store" or finding.state.value == "ok" for finding in backend.run_checks())


@pytest.mark.parametrize(
    ("command", "live", "waits"), [(download, 1, 0), (run, 1, 0), (approve, 1, 1), (rollback, 2, 0)]
)
def test_a_disk_that_is_full_leaves_nothing_half_done(
    tmp_path: Path, command: Callable[[Scenario], None], live: int, waits: int
) -> None:
    scenario = Scenario(tmp_path / "project").make()
    (scenario.folder / "more.csv").write_text("id,text,long\n" + "".join(f"{n},text {n},{n % 2}\n" for n in range(30)))
    for epochs in range(1, live + 1):
        scenario.live(epochs)
    for epochs in range(live + 1, live + 1 + waits):
        scenario.run(epochs)
    call, ends = 0, set[int]()
    while NOT_FULL not in ends:
        call += 1
        copied = scenario.copy(tmp_path / f"full-{call}")
        end = full_at(call, lambda: command(copied), lambda: read(copied))  # noqa: B023
        assert end in (NOT_FULL, DONE_ALL_THE_SAME, REFUSED), f"full at call {call}"
        read(copied)
        command(copied)
        ends.add(end)
    assert ends >= {NOT_FULL, REFUSED}
    assert call > 10
