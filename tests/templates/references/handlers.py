"""CloudFormation's own lists of the permissions to create, read, update and delete a resource of each type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_simulator.repairs.schemas import schema

VERBS = ("create", "read", "update", "delete")
# What a handler needs for what our resources do not have.
OF_FEATURES_NOT_USED = {
    "kms:DescribeKey": "a key of one's own for the instances' disks",
    "lambda:GetProvisionedConcurrencyConfig": "scaling of functions",
    "lambda:PutProvisionedConcurrencyConfig": "scaling of functions",
    "lambda:DeleteProvisionedConcurrencyConfig": "scaling of functions",
    "application-autoscaling:PutScheduledAction": "scaling by the clock",
    "application-autoscaling:DeleteScheduledAction": "scaling by the clock",
    "cloudwatch:GetMetricData": "predictive scaling",
}
# What DeployRole has beside, with the reason.
FURTHER = {
    "sagemaker:DescribeModelPackage": "a model that is made from a package",
    "sagemaker:UpdateEndpointWeightsAndCapacities": "Application Auto Scaling's guide, for whoever registers a target",
}


def permissions_of_handlers(template: Mapping[str, Any]) -> set[str]:
    """Return the permissions of all resource types of a template, without those for unused features."""
    types = {resource["Type"] for resource in template["Resources"].values()}
    handlers = [schema(kind).get("handlers", {}) for kind in types]
    needed = {
        action for handler in handlers for verb in VERBS for action in handler.get(verb, {}).get("permissions", ())
    }
    return needed - set(OF_FEATURES_NOT_USED)
