"""The automatic rollback restores the newest approved model whose file is the approved one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.model_registry import kept_key
from mlops_cli.backends.aws.clients.s3 import ObjectMetadata
from mlops_cli.backends.aws.stages.auto_rollback import AutoRollback
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.runs import Run, StageRun, Status, new_run

V1, V2, V3 = ("1" * 64, "2" * 64, "3" * 64)


def live_run(digest: str) -> Run:
    """Return the run that has trained and deployed this model."""
    number = float(digest[0])
    run = new_run(f"run{digest[0]}", {})
    for position, stage in enumerate(run.stages):
        stage.status, stage.output, stage.finished_at = Status.DONE, digest, number + position / 10
    run.approval.detail = {"package": f"arn:package/{digest[0]}"}
    return replace(run, created_at=number)


class Scenario:
    """Version 3 has failed its gate; versions 1 and 2 were live before. ``files``: S3's checksums of their files."""

    def __init__(self) -> None:
        self.recorded = [live_run(digest) for digest in (V3, V2, V1)]
        self.recorded[0].endpoint_gate.status = Status.FAILED
        self.files = {kept_key(digest): digest for digest in (V1, V2, V3)}
        self.rejected: list[str] = []

    def request(self, digest: str) -> StageRun:
        return next(run.approval for run in self.recorded if run.approval.output == digest)

    def decisions(self, digest: str) -> list[tuple[Decision, StageRun]]:
        decision = Decision(f"run{digest[0]}", True, Actor("ann"), "", float(digest[0]), "", digest)
        return [(decision, self.request(digest))]

    def metadata(self, key: str) -> ObjectMetadata | None:
        return ObjectMetadata("v", "", self.files[key]) if key in self.files else None

    def select(self) -> str:
        store: Any = SimpleNamespace(
            runs=lambda: iter(self.recorded),
            approval_requests=lambda digest: [self.request(digest)],
            save=lambda run: None,
            save_stage=lambda stage: None,
        )
        approvals: Any = SimpleNamespace(
            for_run=lambda run: None,
            for_model=self.decisions,
            approval=lambda digest, key: self.request(digest),
        )
        registry: Any = SimpleNamespace(reject=lambda packages, why: self.rejected.extend(packages))
        bucket: Any = SimpleNamespace(metadata=self.metadata)
        model = AutoRollback(store, approvals, registry, bucket).select_model(self.recorded[0])
        return model.digest if model else ""


@pytest.mark.parametrize(
    ("files", "restored"),
    [
        ({}, V2),
        ({kept_key(V2): "f" * 64}, V1),
        ({kept_key(V2): "f" * 64, kept_key(V1): ""}, ""),
    ],
)
def test_a_model_whose_file_was_replaced_in_the_bucket_is_not_restored(files: dict[str, str], restored: str) -> None:
    scenario = Scenario()
    scenario.files |= files
    assert scenario.select() == restored
    assert scenario.rejected == (["arn:package/3"] if restored else [])
