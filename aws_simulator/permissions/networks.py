"""The permissions that a service's role needs for the keys and the VPC of its machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, root

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

LOOKS = (
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
)
INTERFACE = ("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface")


def require_network(simulator: Simulator, role: Caller, subnets: Sequence[str], groups: Sequence[str]) -> None:
    """Raise ServiceError unless the subnets and groups are in one VPC and the role may use them."""
    client = simulator.client("ec2", root())
    try:
        vpcs = {entry["VpcId"] for entry in client.describe_subnets(SubnetIds=list(subnets))["Subnets"]}
        vpcs |= {entry["VpcId"] for entry in client.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]}
    except ClientError as error:
        raise ServiceError("ValidationException", error.response["Error"]["Message"]) from error
    if len(vpcs) != 1:
        raise ServiceError("ValidationException", f"The subnets and security groups are of {len(vpcs)} VPCs.")
    prefix = f"arn:aws:ec2:{role.region}:{role.account}"
    context = {"ec2:Vpc": f"{prefix}:vpc/{vpcs.pop()}"}
    for action in LOOKS:
        role.require(action)
    for name in subnets:
        role.require(INTERFACE[0], f"{prefix}:subnet/{name}", context)
    for name in groups:
        role.require(INTERFACE[0], f"{prefix}:security-group/{name}", context)
    for action in INTERFACE:
        role.require(action, f"{prefix}:network-interface/eni-0123456789abcdef0", context)


def require_grant(caller: Caller, key: str) -> None:
    """Raise ServiceError unless the caller may let a service open volumes with the key."""
    caller.require("kms:CreateGrant", key, {"kms:GrantIsForAWSResource": "true"})


def network_conditions(vpc: Mapping[str, Any]) -> dict[str, Any]:
    """Return the condition keys of a VpcConfig."""
    return {"sagemaker:VpcSubnets": vpc.get("Subnets"), "sagemaker:VpcSecurityGroupIds": vpc.get("SecurityGroupIds")}


def require_keys_and_network(
    simulator: Simulator, role: Caller, volume: str | None, output: str | None, vpc: Mapping[str, Any]
) -> None:
    """Require the permissions of a job's role for the keys and the VPC in the request."""
    if volume:
        require_grant(role, volume)
    if output:
        role.require("kms:GenerateDataKey", output)
    if vpc:
        require_network(simulator, role, vpc["Subnets"], vpc["SecurityGroupIds"])
