"""CodePipeline's client if its API is late, and if the pipeline is changed during a run."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from aws_simulator.accounts import eventually
from aws_simulator.fixture import Aws
from aws_simulator.tests.codepipeline.lines import Line, gate, prepared, source
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients import codepipeline
from mlops_cli.backends.aws.clients.codepipeline import Pipeline


@pytest.fixture
def line(aws: Aws) -> Line:
    prepared(aws)
    line = Line(aws, {"Source": [source()], "second": [gate()]})
    aws.control("codepipeline-views", state=1.5, listing=1.0, texts="summary")
    return line


@pytest.fixture
def pipeline(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(codepipeline, "LOOK_SECONDS", 0.1)
    return Pipeline(Account("us-east-1", "").client("codepipeline"), "line")


def asked(pipeline: Pipeline, execution: str) -> bool:
    return any(action.name == "gate" for action in pipeline.actions(execution))


def test_a_new_pipelines_own_execution_is_stopped_though_it_is_listed_late(line: Line, pipeline: Pipeline) -> None:
    pipeline.stop_first(is_new=True)
    assert line.ended(line.first) == "Stopped"


def test_a_decision_is_sent_as_soon_as_its_token_is_shown(line: Line, pipeline: Pipeline) -> None:
    execution = line.first
    eventually(lambda: asked(pipeline, execution))
    assert pipeline.token(execution, "second", "gate") == "", "the state does not know the action yet"
    token = pipeline.awaited_token(execution, "second", "gate")
    assert pipeline.decide("second", "gate", True, "good", token)
    assert not pipeline.decide("second", "gate", False, "bad", token), "the second one is told that it is too late"
    assert line.ended(execution) == "Succeeded"


def test_a_run_has_its_revision_only_once_its_source_is_fetched(line: Line, pipeline: Pipeline) -> None:
    line.start()
    (newest, *_) = eventually(lambda: list(pipeline.executions()))
    assert pipeline.with_revision(codepipeline.Execution(newest.id, "InProgress", newest.started)).revision


def test_an_approval_of_a_pipeline_that_was_changed_meanwhile_is_never_decided(line: Line, pipeline: Pipeline) -> None:
    execution = line.first
    old = pipeline.awaited_token(execution, "second", "gate") or eventually(
        lambda: pipeline.token(execution, "second", "gate")
    )
    changed: dict[str, Any] = copy.deepcopy(line.declaration)
    changed["stages"][1]["actions"][0]["configuration"] = {"CustomData": "another"}
    line.client.update_pipeline(pipeline=changed)
    actions = pipeline.actions(execution)
    assert pipeline.is_outdated(actions)
    assert actions[-1].status == "InProgress", "it goes on being listed so"
    assert not pipeline.decide("second", "gate", True, "good", old)
    time.sleep(0.2)
    assert line.status(execution) == "InProgress"
    assert pipeline.under_way() is None
    pipeline.stop(execution, "it goes no further")
    assert line.status(execution) == "Stopped"
