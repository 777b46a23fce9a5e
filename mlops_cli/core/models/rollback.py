"""The choice of a rollback for both targets: its version, and the unfinished one that a repeated command completes.

No IO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_cli.core.models.model_versions import ModelVersion, find_version, rollback_target
from mlops_cli.core.runs import Run, Status
from mlops_cli.errors import MlopsError

UNDER_WAY = (Status.RUNNING, Status.WAITING, Status.INTERRUPTED)


@dataclass(frozen=True)
class LastRollback:
    """The newest rollback, if no other model was approved since: its run, and its models by their digests.

    ``is_newest``: no run was started after it.
    """

    run: Run
    target: str
    replaced: str
    is_newest: bool

    def is_unfinished(self, deployed: str) -> bool:
        """Return True if a repeated command must complete the rollback, even if only its last record is missing.

        It does not count any more once a third model is deployed.
        """
        if self.run.status in UNDER_WAY:
            return deployed in ("", self.target, self.replaced)
        return self.run.status is Status.DONE and self.is_newest and deployed == self.target


@dataclass(frozen=True)
class RollbackChoice:
    """The version to deploy, and the digest of the model to reject. ``unfinished``: the rollback to complete."""

    target: ModelVersion
    replaced: str
    unfinished: Run | None = None

    @property
    def is_done(self) -> bool:
        """Return True if the rollback has finished, so that a repeated command only verifies it."""
        return self.unfinished is not None and self.unfinished.status is Status.DONE


def choose_rollback(
    models: Sequence[ModelVersion], deployed: str, version: str, last: LastRollback | None
) -> RollbackChoice:
    """Return the unfinished rollback to this version (or to any, if empty), or else a new one.

    Raise MlopsError with the reason if the version is unknown.
    """
    if last and last.is_unfinished(deployed) and (not version or find_version(models, version).digest == last.target):
        return RollbackChoice(find_version(models, last.target), last.replaced, last.run)
    return RollbackChoice(rollback_target(models, deployed, version), deployed)


def require_shown(choice: RollbackChoice, shown: str | None) -> None:
    """Raise MlopsError if a new rollback would replace another model than the one that the person saw.

    ``shown``: the digest of the model that was deployed then; None if nobody was asked.
    """
    if shown is None or choice.unfinished or choice.replaced == shown:
        return
    raise MlopsError(
        f"Nothing was changed: the deployed model is {choice.replaced[:12] or 'none'} now, and was "
        f"{shown[:12] or 'none'} when it was shown.",
        f"See the models, then decide again: mlops rollback --to {choice.target.name}",
    )
