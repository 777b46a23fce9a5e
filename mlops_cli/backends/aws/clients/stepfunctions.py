"""The state machine that waits for jobs, as the commands use it beside the pipeline: start, look, stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError

RUNNING, SUCCEEDED = "RUNNING", "SUCCEEDED"
ENDED = ("ExecutionDoesNotExist", "ValidationException")


class StateMachine:
    def __init__(self, client: Client, arn: str) -> None:
        self._client = client
        self._arn = arn

    def start(self, name: str, document: Mapping[str, Any]) -> str:
        """The ARN of the execution that carries a job's request out; asked again with the same name, the same one."""
        answer = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(document))
        return str(answer["executionArn"])

    def describe(self, execution: str) -> tuple[str, str]:
        """How an execution stands, and why it failed if it did: what SageMaker says of the job, where there is one."""
        description = self._client.describe_execution(executionArn=execution)
        return str(description["status"]), _reason(str(description.get("cause") or description.get("error") or ""))

    def stop(self, execution: str, why: str) -> None:
        """End an execution, and with it its job; one that has ended is left as it is."""
        try:
            self._client.stop_execution(executionArn=execution, cause=why)
        except AwsError as error:
            if error.code not in ENDED:
                raise

    def running(self) -> Iterator[tuple[str, str]]:
        """Name and ARN of each execution under way."""
        executions = self._client.pages(
            "list_executions", "executions", stateMachineArn=self._arn, statusFilter=RUNNING
        )
        return ((execution["name"], execution["executionArn"]) for execution in executions)


def _reason(cause: str) -> str:
    """A job's failure comes as its whole description."""
    try:
        description = json.loads(cause)
    except ValueError:
        return cause
    return " ".join(str(description.get("FailureReason", cause)).split()) if isinstance(description, dict) else cause
