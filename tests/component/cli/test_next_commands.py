"""The next command in an answer: it can be pasted, and fits the state of the project."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.conftest import Cli, free_port


def hint_of(err: str) -> str:
    """Return the hint, the last line of an error."""
    name, _, hint = err.splitlines()[-1].partition(": ")
    assert name == "hint", err
    return hint


def test_a_waiting_run_is_decided_by_the_command_that_each_answer_names(tiny: Cli) -> None:
    assert hint_of(tiny.both("test-endpoint", code=1)[1]) == "Train and approve a model: mlops run"
    run = tiny.json("run")["id"]
    decide = f"Run {run} waits for a decision: mlops approve {run}"
    for name in ("test-endpoint", "drift"):
        assert hint_of(tiny.both(name, code=1)[1]) == decide
    assert tiny("stop").splitlines()[-1] == f"next: mlops approve {run}"

    above = Cli(tiny.folder.parent)
    assert above("--project", "tiny", "status").splitlines()[-1] == f"next: mlops --project tiny approve {run}"
    error = above.json("--project", "tiny", "drift", code=1)["error"]
    assert error["hint"] == f"Run {run} waits for a decision: mlops --project tiny approve {run}"

    reject = hint_of(tiny.both("approve", "--reject", "--comment", "not today", code=2)[1])
    assert reject == f"Confirm it: mlops approve --reject --comment 'not today' --run-id {run} --yes"
    tiny(*shlex.split(reject.partition(": mlops ")[2]))
    decision = tiny.json("status")["run"]["decision"]
    assert (decision["approved"], decision["comment"]) == (False, "not today")
    assert hint_of(tiny.both("test-endpoint", code=1)[1]) == "Train and approve a model: mlops run"


@pytest.mark.parametrize(
    "words", ["cleanup --keep-data", "quickstart", "rehearse --keep --source 'my data.csv'", "--project . cleanup"]
)
def test_without_a_terminal_a_question_names_the_whole_command_that_answers_it(
    project_folder: Path, words: str
) -> None:
    cli = Cli(project_folder)
    cli("deploy-infra")
    err = cli.both(*shlex.split(words), code=2)[1]
    assert "This needs a confirmation, but there is no terminal." in err
    assert hint_of(err) == f"Confirm it: mlops {words} --yes"


def test_a_command_that_is_to_be_repeated_is_named_in_full(project_folder: Path) -> None:
    words = f"--project project download-data --source http://127.0.0.1:{free_port()}/a.csv"
    err = Cli(project_folder.parent).both(*words.split(), code=1)[1]
    assert hint_of(err) == f"check the address and the network, then repeat mlops {words}"


def test_a_check_s_fix_is_for_the_project_that_was_named(project_folder: Path) -> None:
    cli = Cli(project_folder.parent)
    findings = cli.json("--project", "project", "doctor", code=1)["findings"]
    assert {finding["fix"] for finding in findings if finding["name"] == "dataset"} == {
        "mlops --project project download-data"
    }
    assert "fix:  mlops --project project download-data" in cli("--project", "project", "doctor", code=1)
