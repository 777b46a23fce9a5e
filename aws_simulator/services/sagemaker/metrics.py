"""The instance metrics that SageMaker publishes with a role's credentials. Without the permission there are none."""

from __future__ import annotations

import logging

from ministack.services import cloudwatch

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller

logger = logging.getLogger("simulator")


def publish(role: Caller, namespace: str, host: str) -> None:
    """Publish one point of CPUUtilization in percent. The figure has no meaning."""
    try:
        role.require("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": namespace})
    except ServiceError as error:
        logger.info("no metrics: %s", error)
    else:
        cloudwatch.record_metric(namespace, "CPUUtilization", 50.0, "Percent", {"Host": host})
