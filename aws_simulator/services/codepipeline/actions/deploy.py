"""CloudFormation: create or change a stack with the action's RoleArn, and wait for it."""

from __future__ import annotations

import json
from typing import Any

from ministack.services import cloudformation

from aws_simulator.errors import ServiceError
from aws_simulator.services.codepipeline.actions.job import ActionError, Job
from aws_simulator.services.codepipeline.artifacts import get_file
from aws_simulator.services.codepipeline.lag import SUCCEEDS

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
# The CDK grants a pipeline these permissions for this action in addition. It is unknown which of them AWS requires.
LOOKS = ("DescribeStackEvents", "DescribeStackResources", "GetStackPolicy", "GetTemplate", "GetTemplateSummary")


def run(job: Job) -> None:
    if job.configuration["ActionMode"] != "CREATE_UPDATE":
        raise ActionError("InternalError", f"the simulator does not do {job.configuration['ActionMode']}")
    client, name = job.client("cloudformation"), job.configuration["StackName"]
    stack_arn = f"arn:aws:cloudformation:{job.role.region}:{job.role.account}:stack/{name}/*"
    try:
        for action in (*LOOKS, "SetStackPolicy"):
            job.role.require(f"cloudformation:{action}", stack_arn)
        job.role.require("cloudformation:ValidateTemplate")
    except ServiceError as error:
        raise ActionError("PermissionError", error.message) from error
    request = _request(job, name)
    existing = _described(client, name)
    if existing and existing["StackStatus"].endswith("_IN_PROGRESS"):
        raise ActionError("JobFailed", f"Stack {name} is in {existing['StackStatus']} state and can not be updated")
    changed = _submit(job, client, request, existing)
    stack = _described(client, name)
    assert stack is not None
    job.action.external_id = stack["StackId"]
    console = f"https://console.aws.amazon.com/cloudformation/home?region={job.role.region}"
    job.action.external_url = f"{console}#/stacks/stackinfo?stackId={stack['StackId']}"
    if changed:
        job.until(lambda: not cloudformation._stacks[name]["StackStatus"].endswith("_IN_PROGRESS"))
    _conclude(job, client, name, "updated" if existing else "created")


def _submit(job: Job, client: Any, request: dict[str, Any], existing: dict[str, Any] | None) -> bool:
    """Submit the request. Return True if the stack is changing."""
    try:
        (client.update_stack if existing else client.create_stack)(**request)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        views = job.simulator.services["codepipeline"].views  # type: ignore[attr-defined]
        if "No updates are to be performed" in error.response["Error"]["Message"] and views.unchanged == SUCCEEDS:
            return False
        raise ActionError("JobFailed", error.response["Error"]["Message"]) from error
    return True


def _conclude(job: Job, client: Any, name: str, verb: str) -> None:
    stack = _described(client, name)
    assert stack is not None
    status = stack["StackStatus"]
    if status not in GOOD:
        events = client.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
        failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED")]
        why = f": {failed[-1]['LogicalResourceId']}: {failed[-1]['ResourceStatusReason']}" if failed else ""
        message = f"Stack {name} failed with status {status}{why}"
        job.action.summary = message[:2048]
        raise ActionError("JobFailed", message[:5000])
    job.action.summary = f"Stack {stack['StackId']} was {verb}."
    job.action.variables = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _described(client: Any, name: str) -> dict[str, Any] | None:
    try:
        return dict(client.describe_stacks(StackName=name)["Stacks"][0])
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return None


def _request(job: Job, name: str) -> dict[str, Any]:
    """Return CreateStack's or UpdateStack's request. The template and its configuration come from artifacts."""
    configuration = job.configuration
    template_configuration = json.loads(_file(job, configuration["TemplateConfiguration"])) if _has(job) else {}
    overrides = json.loads(configuration.get("ParameterOverrides", "{}"))
    parameters = {
        **template_configuration.get("Parameters", {}),
        **{key: _value(job, value) for key, value in overrides.items()},
    }
    if unknown := sorted(set(template_configuration) - {"Parameters", "Tags", "StackPolicy"}):
        raise ActionError("InvalidActionConfiguration", f"TemplateConfiguration has an unknown section {unknown[0]}")
    if wrong := sorted(key for key, value in parameters.items() if not isinstance(value, str)):
        raise ActionError("InvalidActionConfiguration", f"The value of parameter {wrong[0]} is not a string")
    request = {
        "StackName": name,
        "RoleARN": configuration["RoleArn"],
        "TemplateBody": _file(job, configuration["TemplatePath"]),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in template_configuration.get("Tags", {}).items()],
    }
    if configuration.get("Capabilities"):
        request["Capabilities"] = configuration["Capabilities"].split(",")
    return request


def _has(job: Job) -> bool:
    return "TemplateConfiguration" in job.configuration


def _file(job: Job, path: str) -> str:
    """Return the file that Artifact::path names."""
    artifact, separator, name = path.partition("::")
    if not separator:
        raise ActionError("InvalidActionConfiguration", f"{path} is not of the form Artifact::path")
    return job.file(job.input(artifact), name).decode()


def _value(job: Job, value: Any) -> Any:
    """Return a parameter override: a string, or Fn::GetParam of a JSON file in an artifact."""
    if isinstance(value, dict) and list(value) == ["Fn::GetParam"]:
        artifact, path, key = value["Fn::GetParam"]
        return json.loads(get_file(job.client("s3"), job.input(artifact), path))[key]
    return value
