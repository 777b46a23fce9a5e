"""The model versions on AWS: the package group lists them, the run store describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops_cli.backends.aws.clients.model_registry import PENDING, REJECTED, ModelRegistry, Package
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.models.model_versions import ModelVersion, versions_of


class ModelVersions:
    def __init__(self, records: S3RunStore, decisions: ApprovalHistory, registry: ModelRegistry) -> None:
        self._records = records
        self._decisions = decisions
        self._registry = registry

    def list_versions(self) -> list[ModelVersion]:
        """Return the versions, the newest first. A model has one package for each run, and the first one's number."""
        packages = self._registry.packages()
        decisions = [
            decision
            for digest in {package.digest for package in packages}
            for decision, _ in self._decisions.for_model(digest)
        ]
        versions = versions_of(
            list(self._records.runs()), sorted(decisions, key=lambda decision: decision.at, reverse=True)
        )
        return [
            _with_package_number(version, [package for package in packages if package.digest == version.digest])
            for version in versions
        ]

    def reject(self, digest: str, why: str) -> None:
        """Reject the model: only a new decision can deploy it."""
        self._registry.reject([package.arn for package in self._registry.packages() if package.digest == digest], why)


def _with_package_number(version: ModelVersion, packages: Sequence[Package]) -> ModelVersion:
    """Return the version with its packages' number and status: an approved package may be rejected by now."""
    if not packages:
        return version
    decided = [package for package in packages if package.status != PENDING]
    last = decided[-1] if decided else None
    decision = version.decision
    if decision and decision.approved and last and last.status == REJECTED:
        decision = _rejected_later(decision, last)
    return replace(version, version=packages[0].version, decision=decision)


def _rejected_later(decision: Decision, package: Package) -> Decision:
    return replace(decision, approved=False, comment=package.comment)
