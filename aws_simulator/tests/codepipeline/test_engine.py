"""How executions move: stage locks, the two modes, approvals, stop, retry, rollback, transitions, variables."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import eventually, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.codepipeline.lines import Line, gate, prepared, source


@pytest.fixture
def line(aws: Aws) -> Line:
    """Provide a pipeline: source → first (a gate) → second (a gate)."""
    prepared(aws)
    return Line(aws, {"Source": [source()], "first": [gate()], "second": [gate()]})


def test_a_new_pipeline_runs_at_once_and_goes_through_its_stages(line: Line) -> None:
    line.passes("first", line.first)
    line.passes("second", line.first)
    assert line.ended(line.first) == "Succeeded"
    summary = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"][0]
    assert summary["trigger"] == {"triggerType": "CreatePipeline", "triggerDetail": "arn:aws:iam::123456789012:root"}
    assert summary["sourceRevisions"][0]["actionName"] == "source"
    assert summary["sourceRevisions"][0]["revisionSummary"].startswith("Amazon S3 version id: ")
    names = [(action["stageName"], action["actionName"], action["status"]) for action in line.actions(line.first)]
    succeeded = [("Source", "source"), ("first", "gate"), ("second", "gate")]
    assert names == [(stage, action, "Succeeded") for stage, action in succeeded]


def test_queued_executions_enter_one_after_the_other_in_order(line: Line) -> None:
    line.token("first", line.first)
    second, third = line.start(), line.start()
    waiting = eventually(lambda: len(executions := line.stage("first")["inboundExecutions"]) == 2 and executions)
    assert [execution["pipelineExecutionId"] for execution in waiting] == [second, third]
    assert line.stage("first")["inboundExecution"]["pipelineExecutionId"] == second
    line.passes("first", line.first)
    line.token("first", second)
    assert line.status(third) == "InProgress"
    assert line.stage("second")["latestExecution"]["pipelineExecutionId"] == line.first


def test_a_newer_execution_supersedes_one_that_waits(aws: Aws) -> None:
    prepared(aws)
    line = Line(aws, {"Source": [source()], "first": [gate()]}, executionMode="SUPERSEDED")
    line.token("first", line.first)
    second = line.start()
    eventually(lambda: line.stage("first").get("inboundExecution", {}).get("pipelineExecutionId") == second)
    third = line.start()
    assert line.ended(second) == "Superseded"
    assert line.status(line.first) == "InProgress"
    line.passes("first", line.first)
    line.passes("first", third)
    assert line.ended(third) == "Succeeded"


def test_an_approval_takes_its_own_token_and_only_once(line: Line) -> None:
    token = line.token("first", line.first)
    with pytest.raises(ClientError, match="InvalidApprovalTokenException"):
        line.decide("first", "00000000-0000-0000-0000-000000000000")
    with pytest.raises(ClientError, match="ActionNotFoundException"):
        line.decide("first", token, name="nothing")
    with pytest.raises(ClientError, match="StageNotFoundException"):
        line.decide("nowhere", token)
    line.decide("first", token)
    with pytest.raises(ClientError, match="ApprovalAlreadyCompletedException"):
        line.decide("first", token)
    second = line.start()
    assert line.token("first", second) != token
    with pytest.raises(ClientError, match="InvalidApprovalTokenException"):
        line.decide("first", token)


def test_a_rejection_fails_the_stage_and_has_its_approver_and_reason(line: Line) -> None:
    decider = line.aws.client(
        "codepipeline", **user(line.aws, "decider", {"Action": "codepipeline:PutApprovalResult", "Resource": "*"})
    )
    decider.put_approval_result(
        pipelineName="line",
        stageName="first",
        actionName="gate",
        token=line.token("first", line.first),
        result={"summary": "not good enough", "status": "Rejected"},
    )
    assert line.ended(line.first) == "Failed"
    latest = line.latest("first", "gate")
    assert (latest["status"], latest["summary"]) == ("Failed", "not good enough")
    assert latest["lastUpdatedBy"] == "arn:aws:iam::123456789012:user/decider"
    assert "token" not in latest
    assert line.stage("first")["latestExecution"]["status"] == "Failed"


def test_a_failed_stage_lets_the_next_execution_in_and_cannot_be_retried_after_that(line: Line) -> None:
    line.decide("first", line.token("first", line.first), "Rejected")
    second = line.start()
    line.token("first", second)
    with pytest.raises(ClientError, match="NotLatestPipelineExecutionException"):
        retry(line, line.first)
    with pytest.raises(ClientError, match="StageNotRetryableException"):
        retry(line, second)


def retry(line: Line, execution: str, stage: str = "first", mode: str = "FAILED_ACTIONS") -> None:
    line.client.retry_stage_execution(
        pipelineName="line", stageName=stage, pipelineExecutionId=execution, retryMode=mode
    )


@pytest.mark.parametrize(("mode", "times"), [("FAILED_ACTIONS", 1), ("ALL_ACTIONS", 2)])
def test_a_retry_runs_failed_or_all_actions_in_the_same_execution(aws: Aws, mode: str, times: int) -> None:
    prepared(aws)
    line = Line(aws, {"Source": [source()], "first": [gate("before"), gate("gate", runOrder=2)]})
    line.passes("first", line.first, "before")
    line.decide("first", line.token("first", line.first), "Rejected")
    assert line.ended(line.first) == "Failed"
    retry(line, line.first, mode=mode)
    if mode == "ALL_ACTIONS":
        line.passes("first", line.first, "before")
    line.passes("first", line.first)
    assert line.ended(line.first) == "Succeeded"
    names = [action["actionName"] for action in line.actions(line.first)]
    assert (names.count("before"), names.count("gate")) == (times, 2)
    latest = line.client.list_action_executions(
        pipelineName="line",
        filter={"latestInPipelineExecution": {"pipelineExecutionId": line.first, "startTimeRange": "Latest"}},
    )["actionExecutionDetails"]
    assert {action["status"] for action in latest} == {"Succeeded"}
    assert line.stage("first")["retryStageMetadata"]["manualStageRetryAttempt"] == 1


def test_actions_of_one_run_order_run_side_by_side(aws: Aws) -> None:
    prepared(aws)
    line = Line(aws, {"Source": [source()], "first": [gate("a"), gate("b"), gate("c", runOrder=2)]})
    line.token("first", line.first, "a")
    line.passes("first", line.first, "b")
    assert line.latest("first", "c") == {}
    line.decide("first", line.token("first", line.first, "a"), "Rejected", name="a")
    assert line.ended(line.first) == "Failed"
    assert line.latest("first", "c") == {}


def stop(line: Line, execution: str, **more: object) -> None:
    line.client.stop_pipeline_execution(pipelineName="line", pipelineExecutionId=execution, **more)


def test_a_stop_waits_for_actions_in_progress_and_an_abandon_does_not(line: Line) -> None:
    token = line.token("first", line.first)
    stop(line, line.first, reason="enough")
    assert line.status(line.first) == "Stopping"
    assert line.stage("first")["latestExecution"]["status"] == "Stopping"
    with pytest.raises(ClientError, match="DuplicatedStopRequestException"):
        stop(line, line.first)
    line.decide("first", token)
    assert line.ended(line.first) == "Stopped"
    assert line.stage("second").get("latestExecution") is None

    second = line.start()
    line.token("first", second)
    stop(line, second, abandon=True)
    assert line.status(second) == "Stopped"
    assert line.latest("first", "gate")["status"] == "Abandoned"
    summaries = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"]
    assert summaries[1]["stopTrigger"] == {"reason": "enough"}
    with pytest.raises(ClientError, match="PipelineExecutionNotStoppableException"):
        stop(line, second)


def test_an_execution_that_waits_is_stopped_at_once_and_a_stopped_one_can_be_retried(line: Line) -> None:
    line.token("first", line.first)
    second = line.start()
    eventually(lambda: line.stage("first")["inboundExecutions"])
    stop(line, second)
    assert line.status(second) == "Stopped"
    assert line.stage("first")["inboundExecutions"] == []
    stop(line, line.first, abandon=True)
    retry(line, line.first)
    line.passes("first", line.first)
    line.passes("second", line.first)
    assert line.ended(line.first) == "Succeeded"


def test_a_closed_transition_keeps_executions_out_until_it_opens(line: Line) -> None:
    names = {"pipelineName": "line", "stageName": "second", "transitionType": "Inbound"}
    line.client.disable_stage_transition(**names, reason="a freeze")
    line.passes("first", line.first)
    eventually(lambda: line.stage("second")["inboundExecutions"])
    assert line.stage("second")["inboundTransitionState"]["disabledReason"] == "a freeze"
    line.client.enable_stage_transition(**names)
    line.token("second", line.first)


def test_a_stage_is_rolled_back_to_an_execution_that_has_succeeded_there(line: Line) -> None:
    line.passes("first", line.first)
    line.decide("second", line.token("second", line.first), "Rejected")
    names = {"pipelineName": "line", "targetPipelineExecutionId": line.first}
    with pytest.raises(ClientError, match="UnableToRollbackStageException"):
        line.client.rollback_stage(**names, stageName="second")
    with pytest.raises(ClientError, match="UnableToRollbackStageException"):
        line.client.rollback_stage(**names, stageName="Source")
    rollback = line.client.rollback_stage(**names, stageName="first")["pipelineExecutionId"]
    line.passes("first", rollback)
    assert line.ended(rollback) == "Succeeded"
    facts = line.client.get_pipeline_execution(pipelineName="line", pipelineExecutionId=rollback)["pipelineExecution"]
    assert (facts["executionType"], facts["trigger"]["triggerType"]) == ("ROLLBACK", "ManualRollback")
    assert facts["rollbackMetadata"] == {"rollbackTargetPipelineExecutionId": line.first}
    line.client.update_pipeline(pipeline=line.declaration)
    with pytest.raises(ClientError, match="PipelineExecutionOutdatedException"):
        line.client.rollback_stage(**names, stageName="first")


def test_variables_have_defaults_and_are_resolved_in_configurations(aws: Aws) -> None:
    prepared(aws)
    data = "run #{codepipeline.PipelineExecutionId} with #{variables.epochs} of #{src.VersionId}"
    stages = {"Source": [source(namespace="src")], "first": [gate(configuration={"CustomData": data})]}
    line = Line(aws, stages, variables=[{"name": "epochs", "defaultValue": "3"}])
    line.passes("first", line.first)
    second = line.start(variables=[{"name": "epochs", "value": "7"}])
    line.token("first", second)
    first_used, second_used = (
        line.actions(execution)[-1]["input"]["resolvedConfiguration"]["CustomData"]
        for execution in (line.first, second)
    )
    version = line.actions(second)[0]["output"]["outputVariables"]["VersionId"]
    assert second_used == f"run {second} with 7 of {version}"
    assert first_used.startswith(f"run {line.first} with 3 of")
    facts = line.client.get_pipeline_execution(pipelineName="line", pipelineExecutionId=second)["pipelineExecution"]
    assert facts["variables"] == [{"name": "epochs", "resolvedValue": "7"}]
    with pytest.raises(ClientError, match="epoch is not declared"):
        line.start(variables=[{"name": "epoch", "value": "7"}])


def test_the_same_request_token_starts_one_execution(line: Line) -> None:
    assert line.start(clientRequestToken="abc") == line.start(clientRequestToken="abc")
    assert line.start(clientRequestToken="abd") != line.start(clientRequestToken="abc")


def test_lists_come_in_pages_newest_first(line: Line) -> None:
    started = [line.first, *(line.start() for _ in range(4))]
    pages = line.client.get_paginator("list_pipeline_executions").paginate(
        pipelineName="line", PaginationConfig={"PageSize": 2}
    )
    sizes, listed = [], []
    for page in pages:
        sizes.append(len(page["pipelineExecutionSummaries"]))
        listed += [summary["pipelineExecutionId"] for summary in page["pipelineExecutionSummaries"]]
    assert (sizes, listed) == ([2, 2, 1], started[::-1])
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        line.client.list_pipeline_executions(pipelineName="line", nextToken="made up")


def test_a_pipeline_that_is_deleted_is_gone(line: Line) -> None:
    line.token("first", line.first)
    line.client.delete_pipeline(name="line")
    line.client.delete_pipeline(name="line")
    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        line.client.get_pipeline_state(name="line")


def test_a_role_that_does_not_trust_codepipeline_fails_the_first_action(aws: Aws) -> None:
    from aws_simulator.accounts import role

    prepared(aws)
    arn = role(aws, "other", "ec2.amazonaws.com")
    line = Line(aws, {"Source": [source()], "first": [gate()]}, roleArn=arn)
    assert line.ended(line.first) == "Failed"
    assert line.failure(line.first)["code"] == "PermissionError"
