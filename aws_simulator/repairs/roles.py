"""AWS::IAM::Role: created with the caller's permissions, with a path, and limited by its permissions boundary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ministack.services import iam
from ministack.services.cloudformation import provisioners

from aws_simulator.resources import Resource, ResourceType, add_resource_type
from aws_simulator.service import tag_context

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

BOUNDARY = "PermissionsBoundary"


def install(simulator: Simulator) -> None:
    add_resource_type(Role(simulator, provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]))


class Role(ResourceType):
    name = "AWS::IAM::Role"
    replacing = ("RoleName", "Path")

    def __init__(self, simulator: Simulator, handlers: Mapping[str, Any]) -> None:
        super().__init__(simulator)
        self._handlers = handlers

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        name = resource.properties.get("RoleName") or resource.generated_name(64)
        boundary = resource.properties.get(BOUNDARY, "")
        context = {
            **tag_context(dict(resource.properties)),
            **({"iam:PermissionsBoundary": boundary} if boundary else {}),
        }
        path = resource.properties.get("Path", "/")
        resource.caller.require("iam:CreateRole", f"arn:aws:iam::{resource.caller.account}:role{path}{name}", context)
        physical_id, attributes = self._handlers["create"](resource.logical_id, resource.properties, resource.stack)
        _limit(physical_id, boundary)
        return physical_id, attributes

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        boundary, before = (each.get(BOUNDARY, "") for each in (resource.properties, resource.previous))
        role = iam._roles[resource.physical_id]
        if boundary != before:
            verb = "Put" if boundary else "Delete"
            resource.caller.require(
                f"iam:{verb}RolePermissionsBoundary", role["Arn"], {"iam:PermissionsBoundary": boundary or before}
            )
        arguments = (resource.physical_id, resource.previous, resource.properties, resource.stack, resource.logical_id)
        physical_id, attributes = self._handlers["update"](*arguments)[:2]
        _limit(physical_id, boundary)
        return physical_id, attributes

    def delete(self, resource: Resource) -> None:
        role = iam._roles.get(resource.physical_id)
        if role:
            resource.caller.require("iam:DeleteRole", role["Arn"])
        self._handlers["delete"](resource.physical_id, resource.properties)


def _limit(name: str, boundary: str) -> None:
    iam._roles[name][BOUNDARY] = boundary or None
