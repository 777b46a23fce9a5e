"""The registry on AWS: the model package group says which versions there are, the run records what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops_cli.backends.aws.decisions import Decisions
from mlops_cli.backends.aws.records import Records
from mlops_cli.backends.aws.registry import PENDING, REJECTED, Package, Registry
from mlops_cli.decision import Decision
from mlops_cli.registry import ModelVersion, versions_of


class Versions:
    def __init__(self, records: Records, decisions: Decisions, registry: Registry) -> None:
        self._records = records
        self._decisions = decisions
        self._registry = registry

    def every(self) -> list[ModelVersion]:
        """The newest first. A model has a package for each run that asked about it; its number is the first one's."""
        packages = self._registry.packages()
        said = [found for digest in {one.digest for one in packages} for found, _ in self._decisions.about(digest)]
        found = versions_of(list(self._records.runs()), sorted(said, key=lambda one: one.at, reverse=True))
        return [_as_registered(one, [package for package in packages if package.digest == one.digest]) for one in found]

    def reject(self, digest: str, why: str) -> None:
        """From here on no run deploys this model unasked."""
        for package in self._registry.packages():
            if package.digest == digest and package.status != PENDING:
                self._registry.decide(package.arn, False, why)


def _as_registered(version: ModelVersion, packages: Sequence[Package]) -> ModelVersion:
    """A version as its packages say: what was approved in the pipeline may have been rejected since."""
    if not packages:
        return version
    decided = [package for package in packages if package.status != PENDING]
    last = decided[-1] if decided else None
    decision = version.decision
    if decision and decision.approved and last and last.status == REJECTED:
        decision = _withdrawn(decision, last)
    return replace(version, version=packages[0].version, decision=decision)


def _withdrawn(decision: Decision, package: Package) -> Decision:
    return replace(decision, approved=False, comment=package.said)
