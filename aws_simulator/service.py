"""The parts of every simulated service: one method for each operation, checked against botocore's model."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import botocore.session
import jmespath
from botocore import xform_name
from botocore.model import OperationModel, ServiceModel
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id

from aws_simulator import shapes, wire
from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

logger = logging.getLogger("simulator")
Request = dict[str, Any]
Method = TypeVar("Method", bound=Callable[..., Any])

# Error codes that every AWS service may return, even if they are missing in its model.
COMMON_ERRORS = {
    "AccessDeniedException",
    "ValidationException",
    "ThrottlingException",
    "InternalFailure",
    "UnknownOperationException",
    "UnrecognizedClientException",
    # CodeCommit's error for a new repository in an account to which it is closed.
    "OperationNotAllowedException",
}


@dataclass(frozen=True)
class Permission:
    """A caller's permissions for an operation: the action on these resources, and the right to pass roles."""

    resources: tuple[str | Callable[[Any, Request, Caller], list[str]], ...] = ("*",)
    passes: Mapping[str, str] = field(default_factory=dict)
    action: str = ""
    context: Callable[[Request], Mapping[str, Any]] = lambda _: {}


def operation(
    *resources: str | Callable[..., list[str]],
    passes: Mapping[str, str] | None = None,
    action: str = "",
    context: Callable[[Request], Mapping[str, Any]] = lambda _: {},
) -> Callable[[Method], Method]:
    """Mark a method as an operation, and declare the permissions that its caller needs.

    ``resources``: ARNs in which {account}, {region} and {a JMESPath of the request} are replaced, or functions
    ``(service, request, caller) -> [arn, …]``; none: "*". ``passes``: JMESPath of a role ARN (or of several) → the
    service to which it is passed. ``action``: IAM's name if it differs from the operation's
    (``sagemaker:InvokeEndpoint`` …). ``context``: the service's own condition keys of a request.
    """

    def marked(method: Method) -> Method:
        method.permission = Permission(resources or ("*",), passes or {}, action, context)  # type: ignore[attr-defined]
        return method

    return marked


class Service:
    """A simulated AWS service. README.md explains how to write one."""

    name: ClassVar[str]
    """botocore's name of the service: its model decides what a request and a response may look like."""
    prefix: ClassVar[str] = ""
    """IAM's prefix of its actions, where it is not ``name``."""
    endpoint: ClassVar[str] = ""
    """ministack's key for it: the name in the signature, where that is not ``name``."""
    validation_error: ClassVar[str] = "ValidationException"
    serial: ClassVar[bool] = True
    """One operation at a time (under ``self.lock``): operations are short. False for those that wait."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.lock = threading.RLock()

    @cached_property
    def model(self) -> ServiceModel:
        return botocore.session.get_session().get_service_model(self.name)

    def shape(self, name: str) -> Any:
        return self.model.shape_for(name)

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> wire.Response:
        """Handle a request of ministack to this service."""
        caller = Caller(extract_access_key_id(headers, query), get_account_id(), get_region())
        return await asyncio.to_thread(self._answer, method, path, headers, body, query, caller)

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any], caller: Caller
    ) -> wire.Response:
        operation = wire.requested(self.model, method, path, headers)
        try:
            if operation is None:
                raise ServiceError("UnknownOperationException", f"{self.name} has no such operation.", 404)
            request = wire.decoded(operation, path, headers, body, query)
            return wire.encoded(operation, self.call(operation, request, caller))
        except ServiceError as error:
            self._check_error(operation, error)
            return wire.refused(error.code, error.message, error.status, error.facts)
        except Exception as error:
            logger.exception("%s failed", operation and operation.name)
            self.simulator.drifted(f"{self.name}:{operation and operation.name}: {error!r}")
            return wire.refused("InternalFailure", repr(error), 500, {})

    def call(self, operation: OperationModel, request: Request, caller: Caller) -> dict[str, Any]:
        """Check the request, the caller's permissions and the result. Run the operation."""
        act = getattr(self, xform_name(operation.name), None)
        if act is None:
            raise ServiceError("UnknownOperationException", f"The simulator has no {self.name}:{operation.name}.", 404)
        if operation.input_shape and (problems := list(shapes.problems(request, operation.input_shape))):
            number = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
            raise ServiceError(self.validation_error, number + "; ".join(problems))
        self._authorize(act, operation, request, caller)
        if self.serial:
            with self.lock:
                result = act(request, caller) or {}
        else:
            result = act(request, caller) or {}
        if operation.output_shape and (problems := list(shapes.problems(result, operation.output_shape, answer=True))):
            raise AssertionError(f"a response that AWS would not give: {'; '.join(problems)}")
        return result

    def _authorize(self, act: Any, operation: OperationModel, request: Request, caller: Caller) -> None:
        permission: Permission = getattr(act, "permission", Permission())
        action = permission.action or f"{self.prefix or self.name}:{operation.name}"
        context = {**tag_context(request), **permission.context(request), **self.resource_tags(request, caller)}
        for resource in self._resources(permission, request, caller):
            caller.require(action, resource, context)
        for path, service in permission.passes.items():
            value = jmespath.search(path, request)
            for role in value if isinstance(value, list) else [value] if value else []:
                caller.require_pass_role(role, service)

    def resource_tags(self, request: Request, caller: Caller) -> Mapping[str, str]:
        """Return aws:ResourceTag/… of an operation's resource, for services whose permissions depend on tags."""
        return {}

    def _resources(self, permission: Permission, request: Request, caller: Caller) -> Iterator[str]:
        facts = {"account": caller.account, "region": caller.region}

        def fill(name: re.Match[str]) -> str:
            return facts.get(name[1]) or str(jmespath.search(name[1], request) or "*")

        for resource in permission.resources:
            if callable(resource):
                yield from resource(self, request, caller)
            else:
                yield re.sub(r"\{([^}]+)\}", fill, resource)

    def _check_error(self, operation: OperationModel | None, error: ServiceError) -> None:
        """Refuse an error code that is not in the operation's model, because AWS never returns it."""
        errors = operation.error_shapes if operation else []
        modelled = {name for shape in errors for name in (shape.name, shape.error_code)}
        if error.status < 500 and error.code not in modelled | COMMON_ERRORS and "Token" not in error.code:
            self.simulator.drifted(
                f"{self.name}:{operation and operation.name} answered {error.code}, which AWS's model does not have"
            )


def tag_context(request: Request) -> dict[str, Any]:
    """Return aws:RequestTag/… and aws:TagKeys for the tags that a request sets or removes."""
    tags = request.get("Tags") or request.get("tags") or {}
    pairs = (
        tags.items()
        if isinstance(tags, dict)
        else [tuple(tag.values()) for tag in (dict(sorted(tag.items())) for tag in tags)]
    )
    keys = [str(key) for key, _ in pairs] + list(request.get("TagKeys") or request.get("tagKeys") or [])
    return {**{f"aws:RequestTag/{key}": str(value) for key, value in pairs}, **({"aws:TagKeys": keys} if keys else {})}


def page(
    rows: list[Any], request: Request, name: str, limit: str, token: str, size: int = 100, bad: str = ""
) -> dict[str, Any]:
    """Return one page of ``rows`` under ``name``. The token is an offset; ``bad`` is the error code for others."""
    offset = str(request.get(token) or 0)
    if not offset.isdecimal():
        raise ServiceError(bad or "ValidationException", f"The token {offset} is not valid.")
    start, count = int(offset), int(request.get(limit) or size)
    answer: dict[str, Any] = {name: rows[start : start + count]}
    if start + count < len(rows):
        answer[token] = str(start + count)
    return answer
