"""CodePipeline V2: a check of declarations, and an engine that runs them with the pipeline's role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_simulator.services.codepipeline import triggers
from aws_simulator.services.codepipeline.resource import Pipeline
from aws_simulator.services.codepipeline.service import CodePipeline

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator


def register(simulator: Simulator) -> None:
    service = CodePipeline(simulator)
    simulator.add_service(service)
    simulator.add_resource_type(Pipeline(simulator))
    triggers.register(simulator, service)
    simulator.on_reset(service.clear)
    simulator.add_control("codepipeline-views", service.views.set)
