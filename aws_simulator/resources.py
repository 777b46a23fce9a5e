"""CloudFormation resource types of this package, and the role with which a stack acts."""

from __future__ import annotations

import contextvars
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs

from botocore.exceptions import ClientError
from ministack import app
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import cloudformation
from ministack.services.cloudformation import provisioners, stacks
from ministack.services.cloudformation.helpers import _error

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import CURRENT, Caller, assume, root

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

STACK_ACTIONS = {"CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet", "ExecuteChangeSet"}
SERVICE = "cloudformation.amazonaws.com"


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, in a request to its type to create, change or remove it."""

    caller: Caller
    """The stack's role, or whoever operates the stack: what the type does, it does with these credentials."""
    stack: str
    logical_id: str
    properties: Mapping[str, Any]
    physical_id: str = ""
    previous: Mapping[str, Any] = field(default_factory=dict)
    """Its properties so far, when it is changed."""

    def generated_name(self, longest: int = 128, lowercase: bool = False) -> str:
        """Return the name that CloudFormation generates for a resource without a name in the template."""
        return provisioners._physical_name(self.stack, self.logical_id, max_len=longest, lowercase=lowercase)


class ResourceType:
    """A CloudFormation resource type. Its methods may take long, because each runs in its own thread.

    ``create`` and ``update`` return the physical id (the value of Ref) and the attributes (the values of GetAtt).
    ``replacing`` announces an ``update`` that needs a new resource: then CloudFormation creates and deletes.
    """

    name: ClassVar[str]
    replacing: ClassVar[tuple[str, ...]] = ()
    """The properties whose change replaces the resource."""
    tags: ClassVar[tuple[str, str] | None] = ("Tags", "list")
    """The property that takes the stack's tags, and its shape ("list" or "map")."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError

    def delete(self, resource: Resource) -> None:
        raise NotImplementedError


def add_resource_type(kind: ResourceType) -> None:
    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        return _handled(kind.name, kind.create, Resource(_caller(), stack, logical_id, properties))

    def update(
        physical_id: str, previous: dict[str, Any], properties: dict[str, Any], stack: str, logical_id: str
    ) -> tuple[str, dict[str, Any]]:
        return _handled(
            kind.name, kind.update, Resource(_caller(), stack, logical_id, properties, physical_id, previous)
        )

    def delete(physical_id: str, properties: dict[str, Any], logical_id: str) -> None:
        _handled(kind.name, kind.delete, Resource(_caller(), "", logical_id or "", properties, physical_id))

    handlers = {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
        "delete_with_logical_id": True,
    }
    provisioners._RESOURCE_HANDLERS[kind.name] = handlers
    provisioners._REPLACING_PROPERTIES[kind.name] = kind.replacing
    if kind.tags:
        provisioners._STACK_TAG_PROPERTY[kind.name] = kind.tags
    OURS.add(kind.name)


OURS: set[str] = set()
SLOW: dict[str, float] = {}
"""Seconds that handling a resource of a type takes, for tests of what happens meanwhile."""


def slow_down(name: str, seconds: float) -> None:
    SLOW[name] = seconds


def guard_resource_type(name: str, **permissions: Callable[[Resource], list[tuple[str, str]]]) -> None:
    """Make one of ministack's own types act with the stack's role.

    ``create``, ``update``, ``delete``: functions that return the needed (action, resource ARN) of a Resource.
    """
    handlers = dict(provisioners._RESOURCE_HANDLERS[name])
    for event, needed in permissions.items():
        handlers[event] = _guarded(name, event, handlers[event], needed)
    provisioners._RESOURCE_HANDLERS[name] = handlers


def _guarded(
    name: str, event: str, act: Callable[..., Any], needed: Callable[[Resource], list[tuple[str, str]]]
) -> Callable[..., Any]:
    def guarded(*arguments: Any) -> Any:
        caller = _caller()
        if event == "create":
            resource = Resource(caller, arguments[2], arguments[0], arguments[1])
        elif event == "update":
            resource = Resource(caller, arguments[3], "", arguments[2], arguments[0], arguments[1])
        else:
            resource = Resource(caller, "", "", arguments[1], arguments[0])
        _handled(name, lambda match: [caller.require(action, arn) for action, arn in needed(match)], resource)
        return act(*arguments)

    return guarded


def _caller() -> Caller:
    return CURRENT.get() or root()


def _handled(name: str, act: Callable[[Resource], Any], resource: Resource) -> Any:
    """Run a handler. Report its errors with the texts of CloudFormation's events."""
    time.sleep(SLOW.get(name, 0.0))
    try:
        return act(resource)
    except ClientError as error:
        status, request_id = (
            error.response["ResponseMetadata"]["HTTPStatusCode"],
            error.response["ResponseMetadata"].get("RequestId", ""),
        )
        raise ValueError(
            _reason(name, error.response["Error"]["Code"], error.response["Error"]["Message"], status, request_id)
        ) from error
    except ServiceError as error:
        raise ValueError(_reason(name, error.code, error.message, error.status, str(uuid.uuid4()))) from error


KINDS = {
    "AccessDenied": "AccessDenied",
    "NotFound": "NotFound",
    "AlreadyExists": "AlreadyExists",
    "Validation": "InvalidRequest",
}


def _reason(name: str, code: str, message: str, status: int, request_id: str) -> str:
    kind = next((KINDS[keyword] for keyword in KINDS if keyword in code), "GeneralServiceException")
    where = f"(Service: {name.split('::')[1]}, Status Code: {status}, Request ID: {request_id})"
    token = f"(RequestToken: {uuid.uuid4()}, HandlerErrorCode: {kind})"
    return f'Resource handler returned message: "{message} {where}" {token}'


class StackRoles:
    """Remembers each stack's role, and uses it for everything that CloudFormation does for the stack."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str, str], str] = {}

    def install(self) -> None:
        answer = app.SERVICE_HANDLERS["cloudformation"]

        async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
            caller = Caller(extract_access_key_id(headers, query), get_account_id(), get_region())
            form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
            try:
                token = CURRENT.set(self._acting(form, caller))
            except ServiceError as error:
                denied = error.code == "AccessDeniedException"
                return _error("AccessDenied" if denied else error.code, error.message, 403 if denied else 400)
            try:
                return await answer(method, path, headers, body, query)
            finally:
                CURRENT.reset(token)

        app.SERVICE_HANDLERS["cloudformation"] = handle
        elsewhere = stacks._runs_on_worker_thread
        stacks._runs_on_worker_thread = lambda kind: kind in OURS or elsewhere(kind)

    def clear(self) -> None:
        self._roles.clear()

    def _acting(self, form: Mapping[str, str], caller: Caller) -> Caller:
        """Return the acting principal for the stack of a request: its role, if it has one."""
        if form.get("Action") not in STACK_ACTIONS:
            return caller
        stack_name = form.get("StackName", "")
        name = stack_name.split("/")[1] if stack_name.startswith("arn:") else stack_name
        key = (caller.account, caller.region, name)
        if cloudformation._stacks.get(name, {}).get("StackStatus", "DELETE_COMPLETE") == "DELETE_COMPLETE":
            self._roles.pop(key, None)  # a new stack with the name of an old one does not have its role
        if role := form.get("RoleARN"):
            caller.require_pass_role(role, SERVICE)
            self._roles[key] = role
        return self._assumed(self._roles[key]) if key in self._roles else caller

    @staticmethod
    def _assumed(role: str) -> Caller:
        try:
            return assume(role, SERVICE, "AWSCloudFormation")
        except ServiceError as error:
            raise ServiceError("ValidationError", f"Role {role} is invalid or cannot be assumed") from error


def stack_id(name: str) -> str:
    return str(cloudformation._stacks[name]["StackId"])


def in_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Bind ``function`` to the account, region and caller of the present request, for a thread."""
    context = contextvars.copy_context()
    return lambda *arguments: context.copy().run(function, *arguments)
