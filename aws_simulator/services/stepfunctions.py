"""Step Functions: SageMaker's ``.sync`` tasks in ministack's engine, with the state machine's role.

A task starts the job, waits for it, and fails with the job's description as its cause. If the execution is stopped, its
job is stopped. The role needs the same permissions as on AWS: the job's own actions, sagemaker:AddTags (the job is
marked), and the managed EventBridge rule by which Step Functions learns of the end.
"""

from __future__ import annotations

import contextvars
import datetime
import json
import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import stepfunctions
from ministack.services.cloudformation import provisioners

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.resources import Resource, guard_resource_type
from aws_simulator.service import Request, tag_context
from aws_simulator.simulator import Simulator

SERVICE = "states.amazonaws.com"
MARK = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
LOOK_SECONDS = 0.02
RULE_ACTIONS = ("events:PutTargets", "events:PutRule", "events:DescribeRule")
SYNC = re.compile(r"states:::sagemaker:create(Training|Processing)Job\.sync")
EXECUTION: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("simulator_execution")


class JobTask:
    """The integration of one kind of job: Training or Processing."""

    def __init__(self, simulator: Simulator, kind: str) -> None:
        self._simulator = simulator
        self._kind = kind

    @property
    def resource(self) -> str:
        return f"arn:aws:states:::sagemaker:create{self._kind}Job"

    def run(self, resource: str, payload: Any) -> dict[str, Any]:
        """Run the task of ministack's integration. Return its result, or raise its _ExecutionError."""
        execution = EXECUTION.get()
        machine = stepfunctions._state_machines[execution["stateMachineArn"]]
        role = assume(machine["roleArn"], SERVICE, secrets.token_hex(16), machine["stateMachineArn"])
        request = json.loads(json.dumps(payload))
        _note_parameters(execution, request)
        waits = resource.endswith(".sync")
        if waits:
            request = {**request, "Tags": [*request.get("Tags", []), MARK]}
        answer = self._call("Create", request, role)
        if not waits:
            return answer
        name = {f"{self._kind}JobName": request[f"{self._kind}JobName"]}
        self._call_tags(answer[f"{self._kind}JobArn"], role)
        self._wait(execution, answer[f"{self._kind}JobArn"], name, role)
        described: dict[str, Any] = _plain(self._call("Describe", name, role))
        if described[f"{self._kind}JobStatus"] != "Completed":
            raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(described))
        return described

    def _wait(self, execution: dict[str, Any], arn: str, name: Request, role: Caller) -> None:
        """Wait until the job has ended. If the execution was stopped or timed out, stop the job."""
        service: Any = self._simulator.services["sagemaker"]
        jobs = service.training_jobs if self._kind == "Training" else service.processing_jobs
        job, stopped = jobs[arn], False
        while not job.finished.wait(LOOK_SECONDS):
            if execution["status"] != "RUNNING" and not stopped:
                self._call("Stop", name, role)
                stopped = True

    def _call(self, verb: str, request: Request, role: Caller) -> dict[str, Any]:
        service = self._simulator.services["sagemaker"]
        try:
            return service.call(service.model.operation_model(f"{verb}{self._kind}Job"), request, role)
        except ServiceError as error:
            raise _task_error(error) from error

    def _call_tags(self, arn: str, role: Caller) -> None:
        """Call sagemaker:ListTags, which AWS documents among the role's permissions."""
        try:
            role.require("sagemaker:ListTags", arn)
        except ServiceError as error:
            raise _task_error(error) from error


def _task_error(error: ServiceError) -> Exception:
    """Return an error of SageMaker's API in the form of a task."""
    named = {"ResourceLimitExceeded", "ResourceInUse", "ResourceNotFound"}
    name = f"SageMaker.{error.code}Exception" if error.code in named else "SageMaker.AmazonSageMakerException"
    details = (
        f"Service: AmazonSageMaker; Status Code: {error.status}; Error Code: {error.code}; Request ID: {uuid.uuid4()}"
    )
    return stepfunctions._ExecutionError(name, f"{error.message} ({details}; Proxy: null)")


def _plain(value: Any) -> Any:
    """Return a description as JSON, with times in milliseconds, as Step Functions passes them on."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value.timestamp() * 1000) if isinstance(value, datetime.datetime) else value


def check_role(definition: str, role: str, machine: str) -> None:
    """Check a state machine as Step Functions does before it accepts one. Raise AccessDeniedException."""
    try:
        acting = assume(role, SERVICE, "StepFunctions", machine)
    except ServiceError as error:
        principal = f"Neither the global service principal {SERVICE}, nor the regional one"
        message = f"{principal} is authorized to assume the provided role."
        raise ServiceError("AccessDeniedException", message) from error
    for kind in sorted(set(SYNC.findall(definition))):
        name = f"StepFunctionsGetEventsForSageMaker{kind}JobsRule"
        rule = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{name}"
        try:
            for action in RULE_ACTIONS:
                acting.require(action, rule)
        except ServiceError as error:
            raise ServiceError(
                "AccessDeniedException", f"'{role}' is not authorized to create managed-rule."
            ) from error


def _install_checks() -> None:
    """Check, before a state machine is created or changed, that the caller can pass the role and that it is right."""
    answer = app.SERVICE_HANDLERS["states"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        request = json.loads(body or b"{}") if action in ("CreateStateMachine", "UpdateStateMachine") else {}
        if request.get("roleArn"):
            caller = Caller(extract_access_key_id(headers, query), get_account_id(), get_region())
            existing = stepfunctions._state_machines.get(request.get("stateMachineArn", ""), {})
            machine = request.get("stateMachineArn") or _machine_arn(request["name"])
            try:
                caller.require_pass_role(request["roleArn"], SERVICE)
                check_role(request.get("definition") or existing.get("definition", ""), request["roleArn"], machine)
            except ServiceError as error:
                return error_response_json(error.code, error.message, error.status)
        return await answer(method, path, headers, body, query)

    app.SERVICE_HANDLERS["states"] = handle


def _machine_arn(name: str) -> str:
    return f"arn:aws:states:{get_region()}:{get_account_id()}:stateMachine:{name}"


def _needed(*actions: str) -> Callable[[Resource], list[tuple[str, str]]]:
    def needed(resource: Resource) -> list[tuple[str, str]]:
        arn = resource.physical_id or _machine_arn(
            resource.properties.get("StateMachineName") or resource.generated_name(80)
        )
        if "states:DeleteStateMachine" not in actions:
            role = resource.properties["RoleArn"]
            resource.caller.require_pass_role(role, SERVICE)
            check_role(provisioners._sfn_definition(dict(resource.properties)), role, arn)
            if resource.properties.get("Tags"):
                resource.caller.require("states:TagResource", arn, tag_context(dict(resource.properties)))
        return [(action, arn) for action in actions]

    return needed


def _install_events() -> None:
    """Keep a stopped execution stopped, whatever result its task's thread returns. Write a task's events in full."""
    run, fail, add = stepfunctions._run_execution, stepfunctions._fail_execution, stepfunctions._add_event

    def run_execution(arn: str) -> None:
        EXECUTION.set(stepfunctions._executions.get(arn) or {})
        run(arn)

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    def add_event(execution: dict[str, Any], kind: str, details: Any = None) -> Any:
        if execution["status"] == "RUNNING" or kind.startswith("Execution"):
            return add(execution, kind, _task_details(kind, details))
        return None

    stepfunctions._run_execution = run_execution
    stepfunctions._fail_execution = fail_execution
    stepfunctions._add_event = add_event


def _task_details(kind: str, details: Any) -> Any:
    """Return an event's details with the fields of a task that AWS always gives, and ministack does not."""
    if kind not in ("TaskScheduled", "TaskSucceeded", "TaskFailed"):
        return details
    ((name, fields),) = details.items()
    service, _, action = fields["resource"].rpartition(":::")[2].partition(":")
    fields = {**fields, "resourceType": service, "resource": action}
    if kind == "TaskScheduled":
        fields |= {"region": get_region(), "parameters": "{}"}
    return {name: fields}


def _note_parameters(execution: dict[str, Any], request: Request) -> None:
    """Add the task's request to its event."""
    event = execution["events"][-1]
    if event["type"] == "TaskScheduled":
        event["taskScheduledEventDetails"]["parameters"] = json.dumps(request)


def _set_scale(arguments: dict[str, Any]) -> None:
    """The control ``states-scale``: the factor for waits and for the intervals of retries."""
    stepfunctions._SFN_WAIT_SCALE = float(arguments["scale"])


def register(simulator: Simulator) -> None:
    for task in (JobTask(simulator, "Training"), JobTask(simulator, "Processing")):
        stepfunctions._SERVICE_DISPATCH[task.resource] = task.run
    _install_events()
    _install_checks()
    simulator.add_control("states-scale", _set_scale)
    simulator.on_reset(lambda: _set_scale({"scale": 1.0}))
    creating = _needed("states:CreateStateMachine", "states:DescribeStateMachine")
    updating = _needed("states:UpdateStateMachine", "states:DescribeStateMachine")
    deleting = _needed("states:DeleteStateMachine", "states:DescribeStateMachine")
    guard_resource_type("AWS::StepFunctions::StateMachine", create=creating, update=updating, delete=deleting)
