"""Models: kept in S3 under their digest, registered as model packages, approved or rejected."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.core.engine import StageFailed
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks import DEFAULT, NAMES, framework_named
from mlops_cli.frameworks.base import PROGRAM, Framework

APPROVED, REJECTED, PENDING = "Approved", "Rejected", "PendingManualApproval"
DESCRIPTION_LENGTH = 1024
# Properties of a model package.
FRAMEWORK, NEEDS_NETWORK = "framework", "needs-network"


@dataclass(frozen=True)
class Package:
    """A registered model; ``comment`` is the reason of its approval or rejection."""

    arn: str
    version: int
    digest: str
    status: str
    comment: str


@dataclass(frozen=True)
class ServingContainer:
    """How the container of a model package serves it: the script of its functions, and packages to install."""

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
        """Copy a trained model to its permanent key; S3's own checksum of the copy must be ``digest``."""
        kept = f"models/{digest}/model.tar.gz"
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
                        "ModelDataUrl": self._bucket.uri(f"models/{digest}/model.tar.gz"),
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
        return str(self._client.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"])

    def container(self, package: str) -> ServingContainer:
        """Return how the package was registered to be served; raise StageFailed for an unknown framework."""
        described = self._client.describe_model_package(ModelPackageName=package)
        properties = described.get("CustomerMetadataProperties", {})
        name = properties.get(FRAMEWORK, DEFAULT.name)
        if name not in NAMES:
            raise StageFailed(
                f"The model package {package} is of the framework {name}, which this mlops does not know.",
                "Bring the pipeline up to date: mlops deploy-infra",
            )
        return ServingContainer(framework_named(name), properties.get(NEEDS_NETWORK) == "true")

    def decide(self, package: str, approved: bool, description: str) -> None:
        """Approve or reject a package; do nothing if it already has that status."""
        status = APPROVED if approved else REJECTED
        if self.status(package) != status:
            self._client.update_model_package(
                ModelPackageArn=package,
                ModelApprovalStatus=status,
                ApprovalDescription=" ".join(description.split())[:DESCRIPTION_LENGTH],
            )

    def reject(self, packages: Iterable[str], why: str) -> None:
        """Reject packages of a model, except those that wait for a decision: it needs a new one to be deployed."""
        for package in packages:
            if self.status(package) != PENDING:
                self.decide(package, False, why)

    def require_kept(self, package: str, digest: str) -> None:
        """Raise StageFailed unless the package is of this model and its file has this digest."""
        kept = f"models/{digest}/model.tar.gz"
        described = self._client.describe_model_package(ModelPackageName=package)
        container = described["InferenceSpecification"]["Containers"][0]
        metadata = self._bucket.metadata(kept)
        checksum = metadata.checksum if metadata else ""
        if container.get("ModelDataUrl") != self._bucket.uri(kept) or checksum != digest:
            raise StageFailed(
                f"The model package {package} is not the model {digest[:12]}: S3 has {checksum[:12] or 'nothing'}.",
                "Train and approve it again: mlops run --force",
            )

    def packages(self) -> list[Package]:
        """Return every registered package, the oldest first."""
        listed = self._client.pages(
            "list_model_packages",
            "ModelPackageSummaryList",
            ModelPackageGroupName=self._model_group,
            SortBy="CreationTime",
            SortOrder="Ascending",
        )
        return [self._package(summary["ModelPackageArn"]) for summary in listed]

    def _package(self, arn: str) -> Package:
        description = self._client.describe_model_package(ModelPackageName=arn)
        digest = description.get("CustomerMetadataProperties", {}).get("digest", "")
        comment = description.get("ApprovalDescription", "")
        return Package(arn, description["ModelPackageVersion"], digest, description["ModelApprovalStatus"], comment)

    def require_approved(self, package: str) -> None:
        if (status := self.status(package)) != APPROVED:
            raise MlopsError(
                f"The model package {package} is not approved but {status}.", "Approve another model: mlops run"
            )
