"""CodeCommit: repositories that are real git repositories, and the CloudFormation resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .resource import Repository
from .service import CodeCommit

if TYPE_CHECKING:
    from ..simulator import Simulator


def register(simulator: Simulator) -> None:
    service = CodeCommit(simulator)
    simulator.add_service(service)
    simulator.add_resource_type(Repository(simulator))
    simulator.on_reset(service.clear)
