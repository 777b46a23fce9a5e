"""AWS::Logs::LogGroup with a KMS key: the key's policy must let CloudWatch Logs use the key.

Source: CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using AWS KMS".
"""

from __future__ import annotations

from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.services import kms
from ministack.services.cloudformation import provisioners

from aws_simulator.permissions.roles import root
from aws_simulator.repairs.existing import LOG_GROUP

ACTIONS = ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey")


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS[LOG_GROUP]
    create, update = handlers["create"], handlers["update"]

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        require_key(properties)
        return create(logical_id, properties, stack)

    def updated(physical_id: str, previous: dict[str, Any], properties: dict[str, Any], *more: Any) -> Any:
        require_key(properties)
        return update(physical_id, previous, properties, *more)

    provisioners._RESOURCE_HANDLERS[LOG_GROUP] = {**handlers, "create": created, "update": updated}


def require_key(properties: dict[str, Any]) -> None:
    """Raise ValueError with the handler's message if CloudWatch Logs may not use the group's key."""
    owner, key = root(), properties.get("KmsKeyId")
    if not key:
        return
    service = f"logs.{owner.region}.amazonaws.com"
    policy, _ = kms.key_policy_for_arn(key) or ("{}", "")
    group = f"arn:aws:logs:{owner.region}:{owner.account}:log-group:{properties.get('LogGroupName', '')}"
    for action in ACTIONS:
        context = EvalContext(
            principal_arn=service,
            principal_type="Service",
            principal_account=owner.account,
            action=f"kms:{action}",
            resource_arn=key,
            region=owner.region,
            service_context={"kms:encryptioncontext:aws:logs:arn": group},
        )
        if evaluate_resource_policy(policy, context, service=service).decision != "Allow":
            words = f"The specified KMS key does not exist or is not allowed to be used with Arn '{group}'"
            raise ValueError(f'Resource handler returned message: "{words}" (HandlerErrorCode: InvalidRequest)')
