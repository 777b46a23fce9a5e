"""A run that copies stages of another run copies a model only if that run's approval step has verified it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.aws.stages.codebuild_step import run_stage_step
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.errors import MlopsError

VIEW: Any = SimpleNamespace(stage_changed=lambda run, stage: None, progress=lambda *_: None)


def finished(run_id: str, model: str) -> Run:
    run = new_run(run_id, {"train.epochs": model})
    for stage in run.stages:
        stage.status, stage.output, stage.detail = Status.DONE, model, {"package": "p"}
    return run


def step(bucket: Bucket, start: str) -> tuple[Run, S3RunStore]:
    """Run the first step of a run that copies all stages before ``start``."""
    store = S3RunStore(bucket)
    action_inputs = SimpleNamespace(write_for=lambda stage, run: None)
    executor: Any = SimpleNamespace(run_store=store, save=store.save, action_inputs=action_inputs)
    run = run_stage_step("preprocess", "r2", executor, {"MLOPS_FROM": start}, VIEW)
    return run, store


@pytest.mark.parametrize("start", ["approval", "deploy", "post-training-tests"])
def test_an_unverified_record_is_not_copied(versioned: Bucket, start: str) -> None:
    """The steps of this run can write the record, and name its version."""
    hostile = S3RunStore(versioned)
    hostile.save(finished("r1", "evil"))
    with pytest.raises(MlopsError, match=f"No run has finished the stages before {start}"):
        step(versioned, f"{start}@r1:{hostile.saved_version}")


@pytest.mark.parametrize("start", ["approval", "deploy", "post-training-tests"])
def test_the_approval_steps_record_is_copied_even_if_another_was_written_since(versioned: Bucket, start: str) -> None:
    S3RunStore(versioned, decides=True).save(finished("r1", "good"))
    hostile = S3RunStore(versioned)
    hostile.save(finished("r1", "evil"))
    run, _ = step(versioned, f"{start}@r1:{hostile.saved_version}")
    assert (run.training.output, run.overrides) == ("good", {"train.epochs": "good"})


def test_a_preparation_is_copied_in_the_version_that_the_runs_own_step_has_named(versioned: Bucket) -> None:
    named = S3RunStore(versioned)
    named.save(finished("r1", "good"))
    S3RunStore(versioned).save(finished("r1", "evil"))
    run, store = step(versioned, f"train@r1:{named.saved_version}")
    assert (run.preparation.output, run.training.status) == ("good", Status.PENDING)
    assert store.saved_version
