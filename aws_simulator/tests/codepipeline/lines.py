"""Pipelines for the tests in this folder: short to write, and controlled by the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_simulator.accounts import bucket, eventually, role, zipped
from aws_simulator.fixture import Aws

BUCKET = "artifacts"
ALLOWED = {
    "Action": [
        "s3:*",
        "codecommit:*",
        "codebuild:*",
        "states:*",
        "cloudformation:*",
        "sns:Publish",
        "iam:PassRole",
        "codestar-connections:UseConnection",
    ],
    "Resource": "*",
}
SOURCE = {"S3Bucket": BUCKET, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}


def action(name: str, kind: str, configuration: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Return an action. ``kind``: Category/Provider. ``inputs``, ``outputs``: names. The rest as in CodePipeline."""
    category, provider = kind.split("/")
    action: dict[str, Any] = {
        "name": name,
        "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
        "configuration": dict(configuration),
        "inputArtifacts": [{"name": artifact} for artifact in more.pop("inputs", [])],
        "outputArtifacts": [{"name": output} for output in more.pop("outputs", [])],
    }
    return {**action, **more}


def source(**more: Any) -> dict[str, Any]:
    return action("source", "Source/S3", SOURCE, outputs=["SourceOutput"], **more)


def gate(name: str = "gate", **more: Any) -> dict[str, Any]:
    """Return an approval: an action that the test ends."""
    return action(name, "Approval/Manual", more.pop("configuration", {}), **more)


class Line:
    """A running pipeline, seen from a test."""

    def __init__(self, aws: Aws, stages: Mapping[str, list[dict[str, Any]]], **declared: Any) -> None:
        self.aws = aws
        self.client = aws.client("codepipeline")
        self.declaration = {
            "name": "line",
            "roleArn": declared.pop("roleArn", "arn:aws:iam::123456789012:role/line"),
            "artifactStore": {"type": "S3", "location": BUCKET},
            "pipelineType": "V2",
            "executionMode": "QUEUED",
            "stages": [{"name": name, "actions": actions} for name, actions in stages.items()],
            **declared,
        }
        self.client.create_pipeline(pipeline=self.declaration)
        first = self.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"]
        self.first: str = first[0]["pipelineExecutionId"]

    def start(self, **more: Any) -> str:
        return str(self.client.start_pipeline_execution(name="line", **more)["pipelineExecutionId"])

    def status(self, execution: str) -> str:
        pipeline_execution = self.client.get_pipeline_execution(pipelineName="line", pipelineExecutionId=execution)
        return str(pipeline_execution["pipelineExecution"]["status"])

    def ended(self, execution: str) -> str:
        return str(eventually(lambda: (status := self.status(execution)) not in ("InProgress", "Stopping") and status))

    def stage(self, name: str) -> dict[str, Any]:
        stages = self.client.get_pipeline_state(name="line")["stageStates"]
        return dict(next(stage for stage in stages if stage["stageName"] == name))

    def latest(self, stage: str, name: str) -> dict[str, Any]:
        """Return the latest execution of an action; empty if there is none."""
        execution = next(
            action_state for action_state in self.stage(stage)["actionStates"] if action_state["actionName"] == name
        )
        return dict(execution.get("latestExecution", {}))

    def token(self, stage: str, execution: str, name: str = "gate") -> str:
        """Return the token of an approval as soon as the execution waits for it."""

        def look() -> str:
            state = self.stage(stage)
            if state.get("latestExecution", {}).get("pipelineExecutionId") != execution:
                return ""
            action = next(action_state for action_state in state["actionStates"] if action_state["actionName"] == name)
            return str(action.get("latestExecution", {}).get("token", ""))

        return str(eventually(look))

    def decide(self, stage: str, token: str, status: str = "Approved", name: str = "gate") -> None:
        self.client.put_approval_result(
            pipelineName="line",
            stageName=stage,
            actionName=name,
            token=token,
            result={"summary": f"{status} by a test", "status": status},
        )

    def passes(self, stage: str, execution: str, name: str = "gate") -> None:
        self.decide(stage, self.token(stage, execution, name), name=name)

    def actions(self, execution: str) -> list[dict[str, Any]]:
        """Return the actions, the oldest first."""
        action_executions = self.client.list_action_executions(
            pipelineName="line", filter={"pipelineExecutionId": execution}
        )
        return list(action_executions["actionExecutionDetails"][::-1])

    def failure(self, execution: str) -> dict[str, str]:
        """Return errorDetails of the failed action."""
        failed = [action for action in self.actions(execution) if action["status"] == "Failed"]
        return dict(failed[-1]["output"]["executionResult"]["errorDetails"])


def prepared(aws: Aws, files: Mapping[str, str] | None = None) -> Any:
    """Create a bucket with a source, and the role "line" with all permissions. Return the S3 client.

    The views are not late here, because these tests check the engine.
    """
    aws.control("codepipeline-views", state=0, listing=0, texts="details")
    s3 = bucket(aws, BUCKET)
    s3.put_object(Bucket=BUCKET, Key="source.zip", Body=zipped(files or {"README.md": "hello"}))
    role(aws, "line", "codepipeline.amazonaws.com", ALLOWED)
    return s3


def denied(aws: Aws, name: str) -> set[tuple[str, str]]:
    """Return the denied requests of a role: (action, resource)."""
    return {(denial["action"], denial["resource"]) for denial in aws.denials() if denial["role"] == name}
