"""CodeBuild: projects, and builds that really execute their buildspec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_simulator.services.codebuild.resource import Project
from aws_simulator.services.codebuild.service import CodeBuild

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator


def register(simulator: Simulator) -> None:
    service = CodeBuild(simulator)
    simulator.add_service(service)
    simulator.add_resource_type(Project(simulator))
    simulator.add_control("build-minute", lambda arguments: setattr(service, "minute", arguments["seconds"]))
    simulator.on_reset(service.clear)
