"""Application Auto Scaling of SageMaker's variants: targets, policies and their alarms. Nothing is scaled."""

from __future__ import annotations

from aws_simulator.services.autoscaling.resources import ScalableTargetType, ScalingPolicyType
from aws_simulator.services.autoscaling.service import Autoscaling
from aws_simulator.simulator import Simulator


def register(simulator: Simulator) -> None:
    service = Autoscaling(simulator)
    simulator.add_service(service)
    simulator.on_reset(service.targets.clear)
    for kind in (ScalableTargetType, ScalingPolicyType):
        simulator.add_resource_type(kind(simulator))
