"""Answers of ministack's own JSON services, checked as those of this package's services are: by botocore's models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.model import ServiceModel
from ministack import app

from aws_simulator import shapes, wire

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

# ministack's names and botocore's. The XML services are parsed by every client that calls them.
SERVICES = {
    "kms": "kms",
    "logs": "logs",
    "ecr": "ecr",
    "secretsmanager": "secretsmanager",
    "ssm": "ssm",
    "events": "events",
    "states": "stepfunctions",
}


def install(simulator: Simulator) -> None:
    """Report each answer that AWS would not give as a drift of the simulator."""
    session = botocore.session.get_session()
    for name, model in SERVICES.items():
        checked = _checked(simulator, session.get_service_model(model), app.SERVICE_HANDLERS[name])
        app.SERVICE_HANDLERS[name] = checked


def _checked(simulator: Simulator, model: ServiceModel, answer: Callable[..., Any]) -> Callable[..., Any]:
    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        status, answered, content = await answer(method, path, headers, body, query)
        operation = wire.requested(model, method, path, headers)
        if status == 200 and operation and (shape := operation.output_shape):
            value = shapes.from_json(json.loads(content or b"{}"), shape)
            if problems := list(shapes.problems(value, shape, answer=True)):
                simulator.drifted(f"{model.service_name}:{operation.name} answered {'; '.join(problems)}")
        return status, answered, content

    return handle
