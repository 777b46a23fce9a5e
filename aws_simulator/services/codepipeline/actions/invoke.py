"""Step Functions: start an execution and wait for it. An abandoned action leaves it running, as on AWS."""

from __future__ import annotations

import json

from ministack.services import stepfunctions

from aws_simulator.services.codepipeline.actions.job import ActionError, Job


def run(job: Job) -> None:
    client, machine = job.client("stepfunctions"), job.configuration["StateMachineArn"]
    prefix = job.configuration.get("ExecutionNamePrefix")
    name = f"{prefix}-{job.action.id}" if prefix else job.action.id
    client.describe_state_machine(stateMachineArn=machine)
    arn = client.start_execution(stateMachineArn=machine, name=name, input=_input(job))["executionArn"]
    job.action.external_id = arn
    console = f"https://console.aws.amazon.com/states/home?region={job.role.region}"
    job.action.external_url = f"{console}#/v2/executions/details/{arn}"
    client.describe_execution(executionArn=arn)
    job.until(lambda: stepfunctions._executions[arn]["status"] != "RUNNING")
    ended = client.describe_execution(executionArn=arn)
    job.action.variables = {"StateMachineArn": machine, "ExecutionArn": arn}
    if ended["status"] != "SUCCEEDED":
        why = ", ".join(f"{key}: {ended[key]}" for key in ("error", "cause") if ended.get(key))
        message = f"Step Functions execution {arn} ended with status {ended['status']}{f' ({why})' if why else ''}"
        job.action.summary = message[:2048]
        raise ActionError("JobFailed", message[:5000])
    if job.action.declaration.get("outputArtifacts"):
        raise ActionError("InternalError", "the simulator does not do output artifacts of Step Functions")


def _input(job: Job) -> str:
    text = job.configuration.get("Input", "{}")
    if job.configuration.get("InputType", "Literal") == "FilePath":
        if not job.action.inputs:
            raise ActionError("InvalidActionConfiguration", "InputType FilePath needs an input artifact")
        text = job.file(job.action.inputs[0], text).decode()
    try:
        json.loads(text)
    except ValueError as error:
        raise ActionError("InvalidActionConfiguration", f"The state machine's input is not JSON: {error}") from error
    return text
