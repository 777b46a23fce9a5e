"""CodeCommit: repositories that are real git repositories, and the CloudFormation resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_simulator.services.codecommit.resource import Repository
from aws_simulator.services.codecommit.service import CodeCommit

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator


def register(simulator: Simulator) -> None:
    service = CodeCommit(simulator)
    simulator.add_service(service)
    simulator.add_resource_type(Repository(simulator))
    simulator.on_reset(service.clear)
    simulator.add_control("codecommit-closed", lambda _: service.close())
