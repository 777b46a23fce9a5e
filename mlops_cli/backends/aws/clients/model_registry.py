"""Models: stored in S3 under their digest, registered as model packages, approved or rejected."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.errors import or_none
from mlops_cli.core.engine import StageFailed
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks import DEFAULT, NAMES, framework_named
from mlops_cli.frameworks.base import PROGRAM, Framework

APPROVED, REJECTED, PENDING = "Approved", "Rejected", "PendingManualApproval"
# The status of a package that was deleted.
DELETED = "Deleted"
DESCRIPTION_LENGTH = 1024
# Properties of a model package.
FRAMEWORK, NEEDS_NETWORK = "framework", "needs-network"


@dataclass(frozen=True)
class Package:
    """A registered model. ``comment``: the reason of its approval or rejection."""

    arn: str
    version: int
    digest: str
    status: str
    comment: str


@dataclass(frozen=True)
class ServingContainer:
    """How the container serves a model package: the script with its functions, and the packages to install."""

    framework: Framework = DEFAULT
    needs_network: bool = False

    @property
    def program(self) -> str:
        return self.framework.environment.get(PROGRAM, "")


DEFAULT_CONTAINER = ServingContainer()


class ModelRegistry:
    def __init__(self, client: Client, model_group: str, serving_image: str, bucket: Bucket) -> None:
        self._client = client
        self._model_group = model_group
        self._serving_image = serving_image
        self._bucket = bucket

    def copy_model(self, key: str, digest: str) -> str:
        """Copy a trained model to its permanent key. S3's checksum of the copy must equal ``digest``."""
        kept = kept_key(digest)
        metadata = self._bucket.metadata(kept)
        if metadata is None or metadata.checksum != digest:
            self._bucket.copy(key, kept, {"sha256": digest})
            metadata = self._bucket.metadata(kept)
        if metadata is None or metadata.checksum != digest:
            actual = metadata.checksum if metadata else "nothing"
            raise StageFailed(
                f"The model {digest[:12]} was changed while it was copied: S3 has {actual[:12]}.",
                "Try again: mlops run",
            )
        return kept

    def register(
        self,
        digest: str,
        run_id: str,
        data_digest: str,
        evidence_key: str,
        container: ServingContainer = DEFAULT_CONTAINER,
    ) -> str:
        """Return the ARN of a PendingManualApproval model package; a repeated call returns the same one."""
        evidence = {"ContentType": "application/json", "S3Uri": self._bucket.uri(evidence_key)}
        answer = self._client.create_model_package(
            ModelPackageGroupName=self._model_group,
            ModelPackageDescription=f"run {run_id}",
            ModelApprovalStatus=PENDING,
            InferenceSpecification={
                "Containers": [
                    {
                        "Image": self._serving_image,
                        "ModelDataUrl": self._bucket.uri(kept_key(digest)),
                        **({"Environment": variables} if (variables := container.framework.environment) else {}),
                    }
                ],
                "SupportedContentTypes": list(container.framework.content_types),
                "SupportedResponseMIMETypes": list(container.framework.answer_types),
            },
            ModelMetrics={"ModelQuality": {"Statistics": evidence}},
            CustomerMetadataProperties={
                "run": run_id,
                "digest": digest,
                "data": data_digest,
                FRAMEWORK: container.framework.name,
                NEEDS_NETWORK: str(container.needs_network).lower(),
            },
            ClientToken=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{digest}")),
        )
        return str(answer["ModelPackageArn"])

    def status(self, package: str) -> str:
        described = self._find(package)
        return str(described["ModelApprovalStatus"]) if described else DELETED

    def _find(self, package: str) -> dict[str, Any] | None:
        """Return SageMaker's description of a package, None if it was deleted."""
        described: dict[str, Any] | None = or_none(self._client.describe_model_package, ModelPackageName=package)
        return described

    def _required(self, package: str) -> dict[str, Any]:
        if described := self._find(package):
            return described
        raise deleted_error(package)

    def container(self, package: str) -> ServingContainer:
        """Return how the registered package is served. Raise StageFailed for an unknown framework."""
        described = self._required(package)
        properties = described.get("CustomerMetadataProperties", {})
        name = properties.get(FRAMEWORK, DEFAULT.name)
        if name not in NAMES:
            raise StageFailed(
                f"The model package {package} is of the framework {name}, which this mlops does not know.",
                "Bring the pipeline up to date: mlops deploy-infra",
            )
        return ServingContainer(framework_named(name), properties.get(NEEDS_NETWORK) == "true")

    def decide(self, package: str, approved: bool, description: str) -> None:
        """Approve or reject a package. Do nothing if it already has that status. Raise MlopsError if it was deleted."""
        status = APPROVED if approved else REJECTED
        current = self.status(package)
        if current == DELETED:
            raise deleted_error(package)
        if current != status:
            self._client.update_model_package(
                ModelPackageArn=package,
                ModelApprovalStatus=status,
                ApprovalDescription=" ".join(description.split())[:DESCRIPTION_LENGTH],
            )

    def reject(self, packages: Iterable[str], why: str) -> None:
        """Reject packages of a model, except pending ones: then only a new decision can deploy the model."""
        for package in packages:
            if self.status(package) not in (PENDING, DELETED):
                self.decide(package, False, why)

    def require_kept(self, package: str, digest: str) -> None:
        """Raise StageFailed unless the package belongs to this model and its file has this digest."""
        kept = kept_key(digest)
        described = self._required(package)
        container = described["InferenceSpecification"]["Containers"][0]
        metadata = self._bucket.metadata(kept)
        checksum = metadata.checksum if metadata else ""
        if container.get("ModelDataUrl") != self._bucket.uri(kept) or checksum != digest:
            raise StageFailed(
                f"The model package {package} is not the model {digest[:12]}: S3 has {checksum[:12] or 'nothing'}.",
                "Train and approve it again: mlops run --force",
            )

    def packages(self) -> list[Package]:
        """Return all registered packages, the oldest first."""
        listed = self._client.pages(
            "list_model_packages",
            "ModelPackageSummaryList",
            ModelPackageGroupName=self._model_group,
            SortBy="CreationTime",
            SortOrder="Ascending",
        )
        described = ((summary["ModelPackageArn"], self._find(summary["ModelPackageArn"])) for summary in listed)
        return [_package(arn, description) for arn, description in described if description]

    def require_approved(self, package: str) -> None:
        if (status := self.status(package)) != APPROVED:
            raise MlopsError(
                f"The model package {package} is not approved but {status}.", "Approve another model: mlops run"
            )


def kept_key(digest: str) -> str:
    """Return the permanent key of a model."""
    return f"models/{digest}/model.tar.gz"


def deleted_error(package: str) -> MlopsError:
    return MlopsError(
        f"The model package {package} was deleted.",
        "Ask for a decision about its model: mlops run --from approval",
    )


def _package(arn: str, description: Mapping[str, Any]) -> Package:
    digest = description.get("CustomerMetadataProperties", {}).get("digest", "")
    comment = description.get("ApprovalDescription", "")
    return Package(arn, description["ModelPackageVersion"], digest, description["ModelApprovalStatus"], comment)
