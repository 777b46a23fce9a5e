"""EventBridge: events of these services, CodePipeline as a target with the target's role, and the list of rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.services import eventbridge

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.resources import in_context

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

Target = Callable[[str, Caller, Mapping[str, Any], Mapping[str, Any]], None]
"""(target ARN, the target's role, the rule, the event's payload)"""

TARGETS: dict[str, Target] = {}
LISTING = "AWSEvents.ListRules"


def emit(source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]) -> None:
    """Put an event of AWS on the default bus of the present account and region. Never wait."""
    entry = {"Source": source, "DetailType": detail_type, "Resources": list(resources), "Detail": json.dumps(detail)}
    send = in_context(eventbridge._put_events)
    threading.Thread(target=send, args=({"Entries": [entry]}, True), daemon=True).start()


def add_target(service: str, deliver: Target) -> None:
    """Deliver events to targets whose ARN names ``service``, with the role that the target names."""
    TARGETS[service] = deliver


def register(simulator: Simulator) -> None:
    invoke = eventbridge._invoke_target

    def invoked(target: Mapping[str, Any], event: Mapping[str, Any], rule: Mapping[str, Any], view: Any = None) -> None:
        service = target.get("Arn", "").split(":")[2]
        if service not in TARGETS:
            invoke(target, event, rule, view)
            return
        payload = json.loads(target["Input"]) if target.get("Input") else {}
        simulator.background(_deliver, simulator, service, target, rule, payload)

    eventbridge._invoke_target = invoked
    _list_as_aws()


def _list_as_aws() -> None:
    """List rules without ``CreatedBy``, which only DescribeRule answers."""
    answer = app.SERVICE_HANDLERS["events"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        status, answered, content = await answer(method, path, headers, body, query)
        if headers.get("x-amz-target") == LISTING and status == 200:
            listed = json.loads(content)
            listed["Rules"] = [{key: rule[key] for key in rule if key != "CreatedBy"} for rule in listed["Rules"]]
            content = json.dumps(listed).encode()
        return status, answered, content

    app.SERVICE_HANDLERS["events"] = handle


def _deliver(
    simulator: Simulator, service: str, target: Mapping[str, Any], rule: Mapping[str, Any], payload: Mapping[str, Any]
) -> None:
    """Deliver an event. A failure only appears in the metrics, as on AWS."""
    try:
        role = assume(target.get("RoleArn", ""), "events.amazonaws.com", "EventBridge")
        TARGETS[service](target["Arn"], role, rule, payload)
    except ServiceError as error:
        simulator.failed_invocations.append({"target": target["Arn"], "why": error.message})
