"""The run that `approve` chooses if no id is given."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.cli.commands.models.approve import run_to_decide
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.errors import MlopsError


def run(run_id: str, status: Status) -> Run:
    return replace(new_run(run_id, {}), status=status)


def listed(*runs: Run) -> Any:
    return SimpleNamespace(list_runs=lambda: list(runs))


@pytest.mark.parametrize("approved", [True, False])
def test_the_only_run_that_waits_is_meant_even_if_it_is_not_the_newest(approved: bool) -> None:
    runs = listed(run("b", Status.FAILED), run("a", Status.WAITING))
    assert run_to_decide(runs, approved) == "a"


@pytest.mark.parametrize(("approved", "command"), [(True, "mlops approve ID"), (False, "mlops approve ID --reject")])
def test_of_several_none_is_chosen_and_all_are_listed(approved: bool, command: str) -> None:
    runs = listed(run("b1", Status.WAITING), run("a2", Status.WAITING))
    with pytest.raises(MlopsError, match=r"2 runs wait for a decision: b1 .*, a2 ") as caught:
        run_to_decide(runs, approved)
    assert (caught.value.hint, caught.value.exit_code) == (f"Name one: {command}", 2)


def test_a_repeated_decision_is_completed_and_another_one_is_not_taken_for_it() -> None:
    rejected = listed(run("b", Status.REJECTED), run("a", Status.DONE))
    assert run_to_decide(rejected, approved=False) == "b"
    with pytest.raises(MlopsError, match="No run waits for a decision"):
        run_to_decide(rejected, approved=True)


def test_an_older_decision_is_not_repeated() -> None:
    with pytest.raises(MlopsError, match="No run waits for a decision"):
        run_to_decide(listed(run("b", Status.FAILED), run("a", Status.REJECTED)), approved=False)
