"""Application Auto Scaling of SageMaker's variants: targets, policies and their alarms. Nothing is scaled."""

from __future__ import annotations

from ..simulator import Simulator
from .resources import ScalableTargetType, ScalingPolicyType
from .service import Autoscaling


def register(simulator: Simulator) -> None:
    service = Autoscaling(simulator)
    simulator.add_service(service)
    simulator.on_reset(service.targets.clear)
    for kind in (ScalableTargetType, ScalingPolicyType):
        simulator.add_resource_type(kind(simulator))
