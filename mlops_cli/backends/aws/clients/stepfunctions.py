"""The state machine that waits for jobs, as commands use it outside of the pipeline: start, describe, stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.files.json_text import parse_json

RUNNING, SUCCEEDED = "RUNNING", "SUCCEEDED"


def stop_execution(client: Client, execution: str, why: str) -> None:
    """Stop an execution and its job. Nothing happens if it has finished or has not started yet."""
    try:
        client.stop_execution(executionArn=execution, cause=why)
    except AwsError as error:
        if not (error.is_not_found or error.code == "ValidationException"):
            raise


class StateMachine:
    def __init__(self, client: Client, arn: str) -> None:
        self._client = client
        self._arn = arn

    def start(self, name: str, document: Mapping[str, Any]) -> str:
        """Start the execution for a job's request, and return its ARN. The same name returns the same execution."""
        answer = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(document))
        return str(answer["executionArn"])

    def describe(self, execution: str) -> tuple[str, str]:
        """Return the status of an execution and its failure reason: SageMaker's reason for the job, if there is one."""
        description = self._client.describe_execution(executionArn=execution)
        return str(description["status"]), _reason(str(description.get("cause") or description.get("error") or ""))

    def stop(self, execution: str, why: str) -> None:
        stop_execution(self._client, execution, why)

    def running(self) -> Iterator[tuple[str, str]]:
        """Yield name and ARN of each running execution."""
        executions = self._client.pages(
            "list_executions", "executions", stateMachineArn=self._arn, statusFilter=RUNNING
        )
        return ((execution["name"], execution["executionArn"]) for execution in executions)


def _reason(cause: str) -> str:
    """Return the failure reason in a job's description."""
    try:
        description = parse_json(cause)
    except ValueError:
        return cause
    return " ".join(str(description.get("FailureReason", cause)).split()) if isinstance(description, dict) else cause
