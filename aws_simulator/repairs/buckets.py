"""AWS::S3::Bucket: apply encryption, lifecycle and tags, and refuse to delete a bucket that is not empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ministack.services import s3
from ministack.services.cloudformation import provisioners

from aws_simulator.errors import ServiceError
from aws_simulator.resources import Resource, ResourceType, add_resource_type

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

RULE = {"Id": "ID", "Status": "Status", "Prefix": "Prefix"}
DAYS = {
    "ExpirationInDays": ("Expiration", "Days"),
    "NoncurrentVersionExpirationInDays": ("NoncurrentVersionExpiration", "NoncurrentDays"),
}
NESTED = ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")


def install(simulator: Simulator) -> None:
    add_resource_type(Bucket(simulator, provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]))


class Bucket(ResourceType):
    name = "AWS::S3::Bucket"
    replacing = ("BucketName", "BucketNamePrefix", "BucketNamespace")

    def __init__(self, simulator: Simulator, handlers: Mapping[str, Any]) -> None:
        super().__init__(simulator)
        self._handlers = handlers

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        name = resource.properties.get("BucketName") or resource.generated_name(63, lowercase=True)
        resource.caller.require("s3:CreateBucket", f"arn:aws:s3:::{name}")
        created = self._handlers["create"](resource.logical_id, resource.properties, resource.stack)
        self._apply(created[0], resource)
        return created[0], created[1]

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        arguments = (resource.physical_id, resource.previous, resource.properties, resource.stack)
        updated = self._handlers["update"](*arguments)
        self._apply(updated[0], resource)
        return updated[0], updated[1]

    def delete(self, resource: Resource) -> None:
        name = resource.physical_id
        resource.caller.require("s3:DeleteBucket", f"arn:aws:s3:::{name}")
        if any(versions for (bucket, _), versions in s3._object_versions.items() if bucket == name) or (
            (s3._buckets.get(name) or {}).get("objects")
        ):
            message = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
            raise ServiceError("BucketNotEmpty", message, 409)
        self._handlers["delete"](name, resource.properties)

    def _apply(self, name: str, resource: Resource) -> None:
        client = self.simulator.client("s3", resource.caller)
        if tags := resource.properties.get("Tags"):
            client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
        if encryption := resource.properties.get("BucketEncryption"):
            settings = [_encryption(rule) for rule in encryption["ServerSideEncryptionConfiguration"]]
            client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": settings})
        rules = (resource.properties.get("LifecycleConfiguration") or {}).get("Rules", [])
        if rules:
            configuration = {"Rules": [_rule(rule) for rule in rules]}
            client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=configuration)
        elif resource.previous.get("LifecycleConfiguration"):
            client.delete_bucket_lifecycle(Bucket=name)


def _encryption(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of the encryption in the form of S3's API."""
    api_rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": dict(rule["ServerSideEncryptionByDefault"])}
    if "BucketKeyEnabled" in rule:
        api_rule["BucketKeyEnabled"] = str(rule["BucketKeyEnabled"]).lower() == "true"
    return api_rule


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a lifecycle rule in the form of S3's API."""
    if unknown := sorted(set(rule) - set(RULE) - set(DAYS) - set(NESTED)):
        raise ValueError(f"the simulator does not do {unknown[0]} of a lifecycle rule")
    fields: dict[str, Any] = {RULE[key]: rule[key] for key in RULE if key in rule}
    for key, (section, member) in DAYS.items():
        if key in rule:
            fields[section] = {member: int(rule[key])}
    for key in NESTED:
        if key in rule:
            fields[key] = {name: int(value) for name, value in rule[key].items()}
    return {"Filter": {"Prefix": fields.pop("Prefix", "")}, **fields}
