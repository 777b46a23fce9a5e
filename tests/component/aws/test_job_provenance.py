"""Nobody is asked about an output that another run has exchanged, whatever this run's records say."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun
from mlops_cli.backends.aws.stages.job_builder import PreparedJob
from mlops_cli.backends.aws.stages.job_provenance import JobProvenance
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.core.stages import JOBS, Stage
from mlops_cli.project.instances import JobInstances


class Ground:
    """A run of two jobs: the documents that were carried out, and the versions in the bucket."""

    def __init__(self) -> None:
        self.run = new_run("r1", {})
        self.documents: dict[str, Any] = {}
        self.versions: list[str] = []
        self.modified, self.dataset = 3.0, ""
        for stage in JOBS:
            record = self.run.stage(stage.name)
            record.status, record.artifact = Status.DONE, f"artifacts/{stage.name}/k/{stage.name}-1/"
            self.documents[stage.name] = self.prepare(stage, self.run, f"{stage.name}-1").document
            self.versions += [f"{record.artifact}output/model.tar.gz", f"{record.artifact}output/output.tar.gz"]
        pipeline: Any = SimpleNamespace(actions=lambda run_id: self.actions)
        bucket: Any = SimpleNamespace(
            uri=lambda key: f"s3://b/{key}",
            versions=lambda prefix: (
                {"Key": key, "LastModified": datetime.fromtimestamp(self.modified, timezone.utc)}
                for key in self.versions
                if key.startswith(prefix)
            ),
        )
        state_machines: Any = self
        self.provenance = JobProvenance(pipeline, state_machines, bucket, self)  # type: ignore[arg-type]

    @property
    def actions(self) -> list[ActionRun]:
        commands = [ActionRun(stage.name, "command", "Succeeded", 1.0, 2.0) for stage in JOBS]
        return commands + [ActionRun(name, "job", "Succeeded", 3.0, 4.0, external=name) for name in self.documents]

    def describe_execution(self, executionArn: str) -> dict[str, str]:
        return {"input": json.dumps(self.documents[executionArn])}

    def prepare(self, stage: Stage, run: Run, name: str) -> PreparedJob:
        kind = "TrainingJobName" if stage.kind.value == "training" else "ProcessingJobName"
        request = {kind: name, "code": "s3://b/code/ours/", "data": f"s3://b/data/{self.dataset}"}
        document = {"kind": stage.kind.value, "request": request}
        return PreparedJob(name, f"artifacts/{stage.name}/k/{name}/", document, JobInstances())


@pytest.fixture
def ground() -> Ground:
    return Ground()


def test_a_run_with_its_own_jobs_passes(ground: Ground) -> None:
    ground.provenance.verify(ground.run)
    ground.documents = {stage.name: {"kind": "reuse", "request": {}} for stage in JOBS}
    ground.provenance.verify(ground.run)
    ground.documents = {}
    ground.provenance.verify(ground.run)


def test_a_dataset_that_was_replaced_since_and_what_sagemaker_adds_are_no_objection(ground: Ground) -> None:
    ground.dataset = "shards-2/"
    ground.versions += [f"{ground.run.training.artifact}profiler-output/framework.json"] * 2
    ground.provenance.verify(ground.run)


@pytest.mark.parametrize("stage", [stage.name for stage in JOBS])
def test_an_object_with_a_second_version_was_changed(ground: Ground, stage: str) -> None:
    ground.versions.append(f"artifacts/{stage}/k/{stage}-1/output/model.tar.gz")
    with pytest.raises(StageFailed, match=f"The output of {stage} was changed after its job had written it"):
        ground.provenance.verify(ground.run)


def test_a_file_that_was_added_after_the_job_is_refused(ground: Ground) -> None:
    ground.modified = 5.0
    with pytest.raises(StageFailed, match="was changed after its job had written it"):
        ground.provenance.verify(ground.run)


@pytest.mark.parametrize("stage", [stage.name for stage in JOBS])
def test_a_record_that_names_another_jobs_output_is_refused(ground: Ground, stage: str) -> None:
    ground.run.stage(stage).artifact = f"artifacts/{stage}/k/{stage}-2/"
    with pytest.raises(StageFailed, match=f"The output of {stage} is not that of this run's own job"):
        ground.provenance.verify(ground.run)


@pytest.mark.parametrize("stage", [stage.name for stage in JOBS])
def test_a_request_that_was_exchanged_is_refused_though_the_record_says_the_same(ground: Ground, stage: str) -> None:
    ground.documents[stage]["request"]["code"] = "s3://b/code/evil/"
    with pytest.raises(StageFailed, match="is not that of this run's own job"):
        ground.provenance.verify(ground.run)


def test_a_record_that_claims_reuse_does_not_hide_a_job(ground: Ground) -> None:
    ground.run.training.status = Status.REUSED
    ground.run.training.artifact = "artifacts/train/k/of-another-run/"
    with pytest.raises(StageFailed, match="is not that of this run's own job"):
        ground.provenance.verify(ground.run)
