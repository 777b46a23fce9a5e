"""AWS::Logs::LogGroup: fail if the group exists, instead of taking it over silently."""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch_logs
from ministack.services.cloudformation import provisioners

LOG_GROUP = "AWS::Logs::LogGroup"


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS[LOG_GROUP]
    create = handlers["create"]

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name = properties.get("LogGroupName")
        if name and name in cloudwatch_logs._log_groups:
            raise ValueError(f"{conflict(LOG_GROUP, name)} (HandlerErrorCode: AlreadyExists)")
        return create(logical_id, properties, stack)

    provisioners._RESOURCE_HANDLERS[LOG_GROUP] = {**handlers, "create": created}


def conflict(kind: str, name: str) -> str:
    return f"Resource of type '{kind}' with identifier '{name}' already exists."
