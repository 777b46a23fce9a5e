"""SNS topics with a KMS key: whoever publishes needs the key, a caller by IAM and a service by the key's policy.

Sources: SNS Developer Guide, "Managing Amazon SNS encryption keys and costs" (kms:GenerateDataKey*, kms:Decrypt), and
there "Enable compatibility between event sources from AWS services and encrypted topics". CodePipeline publishes with
the pipeline's role; CloudWatch's alarms and EventBridge publish as services.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import cloudwatch, eventbridge, kms, sns

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller

ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
CLOUDWATCH, EVENTS = "cloudwatch.amazonaws.com", "events.amazonaws.com"


def install() -> None:
    _install_callers()
    _install_alarms()
    _install_events()


def _install_callers() -> None:
    answer = app.SERVICE_HANDLERS["sns"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        fields = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        if fields.get("Action") in ("Publish", "PublishBatch") and (key := _key(fields.get("TopicArn", ""))):
            caller = Caller(extract_access_key_id(headers, query), get_account_id(), get_region())
            try:
                for action in ACTIONS:
                    caller.require(action, key, _context(fields["TopicArn"]))
            except ServiceError as error:
                return sns._error("KMSAccessDenied", error.message, 400)
        return await answer(method, path, headers, body, query)

    app.SERVICE_HANDLERS["sns"] = handle


def _install_alarms() -> None:
    is_topic = cloudwatch._is_sns_action_arn
    cloudwatch._is_sns_action_arn = lambda arn: is_topic(arn) and _may_publish(CLOUDWATCH, arn)


def _install_events() -> None:
    dispatch = eventbridge._dispatch_to_sns

    def dispatched(topic: str, payload: Any) -> None:
        if _may_publish(EVENTS, topic):
            dispatch(topic, payload)

    eventbridge._dispatch_to_sns = dispatched


def _key(topic: str) -> str:
    """Return the ARN of a topic's own key; empty for none, and for AWS's, which every publisher of the account has."""
    described = sns._topic_by_arn_any_scope(topic) or {}
    key = str(described.get("attributes", {}).get("KmsMasterKeyId") or "")
    return key if key.startswith("arn:") else ""


def _context(topic: str) -> dict[str, str]:
    """The condition keys of SNS's request to KMS."""
    service = f"sns.{get_region()}.amazonaws.com"
    return {"kms:ViaService": service, "kms:EncryptionContext:aws:sns:topicArn": topic}


def _may_publish(service: str, topic: str) -> bool:
    """Return True if the policy of the topic's key lets the service use it. AWS drops the message otherwise."""
    if not (key := _key(topic)):
        return True
    policy, _ = kms.key_policy_for_arn(key) or ("{}", "")
    values = {name.lower(): value for name, value in _context(topic).items()}
    requests = [
        EvalContext(
            principal_arn=service,
            principal_type="Service",
            principal_account=get_account_id(),
            action=action,
            resource_arn=key,
            region=get_region(),
            service_context=values,
        )
        for action in ACTIONS
    ]
    return all(evaluate_resource_policy(policy, each, service=service).decision == "Allow" for each in requests)
