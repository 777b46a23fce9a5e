"""An output that another run has replaced never reaches an approval, even if this run's records claim it."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.stages.jobs.job_builder import PreparedJob
from mlops_cli.backends.aws.stages.jobs.job_provenance import JobProvenance
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.core.stages import JOBS, Kind, Stage
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.usecase.instances import JobInstances

FILES = ("profile.json", "test/rows.csv", "train/rows.csv")
DATASET, OTHER_DATASET = "d" * 64, "e" * 64
CODE = {"ours": b"our code", "same": b"our code, packed with another train.py", "evil": b"evil code"}


class Scenario:
    """A run of two jobs: the executed documents, SageMaker's records, and the object versions in the bucket."""

    def __init__(self) -> None:
        self.run = new_run("r1", {})
        self.documents: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.versions: list[str] = []
        self.contents: dict[str, bytes] = {f"code/{name}/sourcedir.tar.gz": body for name, body in CODE.items()}
        self.modified, self.dataset, self.version = 3.0, "dataset.csv", "v1"
        self.described: list[str] = []
        self.run.preparation.cache_inputs = {"the data": DATASET}
        # The versions of the table: when each one was uploaded, and its digest.
        self.tables = [(1.0, DATASET)]
        for stage in JOBS:
            record = self.run.stage(stage.name)
            record.status, record.artifact = Status.DONE, f"artifacts/{stage.name}/k/{stage.name}-1/"
            self.documents[stage.name] = self.prepare(stage, self.run, f"{stage.name}-1").document
            if stage.kind is Kind.TRAINING:
                self.versions += [f"{record.artifact}output/model.tar.gz", f"{record.artifact}output/output.tar.gz"]
            else:
                record.output = self.writes(f"{stage.name}-1", *FILES)
        self.pipeline: Any = SimpleNamespace(actions=lambda run_id: self.actions)
        self.bucket: Any = SimpleNamespace(
            uri=lambda key: f"s3://b/{key}",
            key_of=lambda uri: uri.removeprefix("s3://b/"),
            full_key=lambda key: f"tiny-dev/{key}",
            get=self.contents.get,
            metadata=lambda key, version: SimpleNamespace(sha256=version),
            versions=lambda prefix: (
                {
                    "Key": f"tiny-dev/{key}",
                    "VersionId": version,
                    "LastModified": datetime.fromtimestamp(modified, timezone.utc),
                    "Size": 1,
                }
                for key, version, modified in (
                    *((key, self.version, self.modified) for key in self.versions),
                    *(("data/dataset.csv", digest, modified) for modified, digest in self.tables),
                )
                if key.startswith(prefix)
            ),
        )

    def is_same_code(self, stage: Stage, run: Run, archive: bytes) -> bool:
        return archive.startswith(b"our code")

    def writes(self, job: str, *names: str) -> str:
        """Let a processing job write these files and report them. Return its digest."""
        rows = "".join(f"{name}\0{digest_bytes(name.encode())}\n" for name in names).encode()
        digest = digest_bytes(rows)
        self.contents[f"artifacts/preprocess/k/{job}-digests/{digest}"] = rows
        request = self.prepare(JOBS[0], self.run, job).document["request"]
        self.jobs[job] = {**copy.deepcopy(request), "ExitMessage": f"{digest}\n", "ProcessingJobStatus": "Completed"}
        self.jobs[job]["CreationTime"] = datetime.fromtimestamp(2.0, timezone.utc)
        self.versions += [f"artifacts/preprocess/k/{job}/{name}" for name in names]
        return digest

    def reuses(self, job: str) -> None:
        """Let the run have no preprocessing job of its own, and reuse this job's output."""
        record = self.run.preparation
        record.status, record.artifact = Status.REUSED, f"artifacts/preprocess/k/{job}/"
        record.output = self.jobs[job]["ExitMessage"].strip() if job in self.jobs else "0" * 64
        self.documents["preprocess"] = {"kind": "reuse", "request": {}}

    @property
    def actions(self) -> list[ActionRun]:
        commands = [ActionRun(stage.name, "command", "Succeeded", 1.0, 2.0) for stage in JOBS]
        return commands + [ActionRun(name, "job", "Succeeded", 3.0, 4.0, external=name) for name in self.documents]

    def describe_execution(self, executionArn: str) -> dict[str, str]:
        return {"input": json.dumps(self.documents[executionArn])}

    def describe_processing_job(self, ProcessingJobName: str) -> dict[str, Any]:
        self.described.append(ProcessingJobName)
        if ProcessingJobName not in self.jobs:
            raise AwsError("refused", "", "ValidationException", "Could not find requested job")
        return self.jobs[ProcessingJobName]

    def prepare(self, stage: Stage, run: Run, name: str) -> PreparedJob:
        kind = "TrainingJobName" if stage.kind.value == "training" else "ProcessingJobName"
        artifact = f"artifacts/{stage.name}/k/{name}/"
        inputs = {"/code": "s3://b/code/ours/", "/data": f"s3://b/data/{self.dataset}"}
        request = {
            kind: name,
            "RoleArn": "arn:job",
            "Environment": {"A": "1"},
            "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["bash"], "ContainerArguments": ["x"]},
            "ProcessingInputs": [
                {"S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix"}} for path, uri in inputs.items()
            ],
            "ProcessingOutputConfig": {
                "Outputs": [{"S3Output": {"S3Uri": f"s3://b/{artifact}", "LocalPath": "/output"}}]
            },
        }
        return PreparedJob(name, artifact, {"kind": stage.kind.value, "request": request}, JobInstances())

    def verify(self, is_copied: bool = False) -> None:
        aws: Any = self
        provenance = JobProvenance(self.run, self.pipeline, aws, aws, self.bucket, aws, self.is_same_code)
        for stage in JOBS:
            provenance.verify(stage, is_copied)


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def test_a_run_with_its_own_jobs_passes(scenario: Scenario) -> None:
    scenario.verify()
    scenario.documents = {stage.name: {"kind": "reuse", "request": {}} for stage in JOBS}
    scenario.verify()
    scenario.documents = {}
    scenario.verify(is_copied=True)


def test_a_dataset_replaced_later_and_sagemakers_own_fields_are_accepted(scenario: Scenario) -> None:
    scenario.dataset = f"shards-{OTHER_DATASET[:16]}-2/"
    scenario.tables.append((3.0, OTHER_DATASET))
    scenario.versions += [f"{scenario.run.training.artifact}profiler-output/framework.json"] * 2
    scenario.verify()


@pytest.mark.parametrize("key", ["preprocess/k/preprocess-1/train/rows.csv", "train/k/train-1/output/model.tar.gz"])
def test_an_object_with_a_second_version_was_changed(scenario: Scenario, key: str) -> None:
    scenario.versions.append(f"artifacts/{key}")
    with pytest.raises(
        StageFailed, match=f"The output of {key.split('/')[0]} was changed after its job had written it"
    ):
        scenario.verify()


@pytest.mark.parametrize("is_copied", [False, True])
@pytest.mark.parametrize("moment", [1.0, 3.0, 5.0])
def test_a_file_that_its_job_has_not_written_is_refused_with_any_time(
    scenario: Scenario, moment: float, is_copied: bool
) -> None:
    """An object's time proves nothing: a multipart upload has the time of its start."""
    scenario.versions.append("artifacts/preprocess/k/preprocess-1/train/more.csv")
    scenario.modified = moment
    with pytest.raises(StageFailed, match=r"differs from its job's list of files: tiny-dev/.*/train/more.csv"):
        scenario.verify(is_copied)


def test_a_file_that_is_missing_is_refused(scenario: Scenario) -> None:
    scenario.versions.remove("artifacts/preprocess/k/preprocess-1/test/rows.csv")
    with pytest.raises(StageFailed, match="differs from its job's list of files"):
        scenario.verify()


def test_a_replaced_or_missing_list_of_files_is_refused(scenario: Scenario) -> None:
    (name,) = (key for key in scenario.contents if "-digests/" in key)
    rows = scenario.contents[name]
    scenario.contents[name] = rows + b"train/more.csv\0" + b"0" * 64 + b"\n"
    with pytest.raises(StageFailed, match="The list of the files that the job preprocess-1 has written was changed"):
        scenario.verify()
    del scenario.contents[name]
    with pytest.raises(StageFailed, match="was changed"):
        scenario.verify()
    scenario.jobs["preprocess-1"]["ExitMessage"] = ""
    with pytest.raises(StageFailed, match="has not listed its files"):
        scenario.verify()


def test_a_digest_that_is_not_the_jobs_own_is_refused(scenario: Scenario) -> None:
    scenario.run.preparation.output = "e" * 64
    with pytest.raises(StageFailed, match="differs from its job's list of files"):
        scenario.verify()


def test_each_of_several_instances_reports_its_files(scenario: Scenario) -> None:
    scenario.writes("preprocess-1", "a.csv", "z.csv")
    second = scenario.jobs["preprocess-1"]["ExitMessage"]
    scenario.versions = [key for key in scenario.versions if key.startswith("artifacts/train/")]
    scenario.writes("preprocess-1", *FILES)
    scenario.jobs["preprocess-1"]["ExitMessage"] += second
    scenario.versions += [f"artifacts/preprocess/k/preprocess-1/{name}" for name in ("a.csv", "z.csv")]
    names = sorted((*FILES, "a.csv", "z.csv"))
    rows = "".join(f"{name}\0{digest_bytes(name.encode())}\n" for name in names)
    scenario.run.preparation.output = digest_bytes(rows.encode())
    scenario.verify()


def test_a_bucket_without_versions_is_refused(scenario: Scenario) -> None:
    scenario.version = "null"
    with pytest.raises(StageFailed, match="The bucket has no versioning") as caught:
        scenario.verify()
    assert "put-bucket-versioning" in caught.value.hint


def test_a_model_that_is_newer_than_its_job_is_refused(scenario: Scenario) -> None:
    scenario.modified = 5.0
    with pytest.raises(StageFailed, match="The output of train was changed after its job had written it"):
        scenario.verify()


def test_the_version_of_a_trainings_reports_is_recorded_even_if_there_are_none(scenario: Scenario) -> None:
    scenario.verify()
    assert scenario.run.training.detail["reports_version"] == "v1"
    scenario.versions.remove("artifacts/train/k/train-1/output/output.tar.gz")
    scenario.verify()
    assert scenario.run.training.detail["reports_version"] == ""


@pytest.mark.parametrize("stage", [stage.name for stage in JOBS])
def test_a_record_that_names_another_jobs_output_is_refused(scenario: Scenario, stage: str) -> None:
    scenario.run.stage(stage).artifact = f"artifacts/{stage}/k/{stage}-2/"
    with pytest.raises(StageFailed, match=f"The output of {stage} does not come from this run's own job"):
        scenario.verify()


@pytest.mark.parametrize("stage", [stage.name for stage in JOBS])
def test_a_request_that_was_exchanged_is_refused_though_the_record_says_the_same(
    scenario: Scenario, stage: str
) -> None:
    scenario.documents[stage]["request"]["code"] = "s3://b/code/evil/"
    with pytest.raises(StageFailed, match="does not come from this run's own job"):
        scenario.verify()


def test_a_record_that_claims_reuse_does_not_hide_a_job(scenario: Scenario) -> None:
    scenario.run.training.status = Status.REUSED
    scenario.run.training.artifact = "artifacts/train/k/of-another-run/"
    with pytest.raises(StageFailed, match="does not come from this run's own job"):
        scenario.verify()


@pytest.mark.parametrize("code", ["ours", "same"])
def test_the_output_of_a_job_that_did_the_same_is_reused(scenario: Scenario, code: str) -> None:
    scenario.writes("earlier", *FILES)
    scenario.jobs["earlier"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"s3://b/code/{code}/"
    scenario.jobs["earlier"]["ProcessingInputs"][1]["S3Input"]["S3Uri"] = f"s3://b/data/shards-{DATASET[:16]}-2/"
    scenario.reuses("earlier")
    scenario.verify()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("AppSpecification", {"ImageUri": "evil", "ContainerEntrypoint": ["bash"], "ContainerArguments": ["x"]}),
        ("AppSpecification", {"ImageUri": "image", "ContainerEntrypoint": ["evil"], "ContainerArguments": ["x"]}),
        ("AppSpecification", {"ImageUri": "image", "ContainerEntrypoint": ["bash"], "ContainerArguments": ["--evil"]}),
        ("Environment", {"A": "1", "PYTHONSTARTUP": "evil.py"}),
        ("RoleArn", "arn:evil"),
        ("ProcessingOutputConfig", {"Outputs": [{"S3Output": {"S3Uri": "s3://b/elsewhere/", "LocalPath": "/output"}}]}),
        ("code", "s3://b/code/evil/"),
        ("code", "s3://b/code/not-there/"),
        ("code", "s3://b/artifacts/train/k/x/"),
        ("input", {"S3Uri": "s3://b/artifacts/", "LocalPath": "/evil", "S3DataType": "S3Prefix"}),
    ],
)
def test_a_job_with_another_request_is_not_reused(scenario: Scenario, part: str, value: Any) -> None:
    """Another run may have written the cache key in the record."""
    scenario.writes("evil", *FILES)
    job = scenario.jobs["evil"]
    if part == "code":
        job["ProcessingInputs"][0]["S3Input"]["S3Uri"] = value
    elif part == "input":
        job["ProcessingInputs"].append({"S3Input": value})
    else:
        job[part] = value
    scenario.reuses("evil")
    with pytest.raises(StageFailed, match="reuses comes from another job"):
        scenario.verify()


@pytest.mark.parametrize("is_reused", [False, True])
@pytest.mark.parametrize(
    ("folder", "tables", "passes"),
    [
        ("dataset.csv", [(1.0, DATASET)], True),
        ("dataset.csv", [(0.5, OTHER_DATASET), (1.0, DATASET), (3.0, OTHER_DATASET)], True),
        ("dataset.csv", [(1.0, OTHER_DATASET)], False),
        ("dataset.csv", [(1.0, OTHER_DATASET), (3.0, DATASET)], False),
        ("dataset.csv", [(0.5, DATASET), (1.0, OTHER_DATASET), (3.0, DATASET)], False),
        ("dataset.csv", [(3.0, DATASET)], False),
        ("dataset.csv", [], False),
        (f"files-{DATASET[:16]}/", [], True),
        (f"shards-{DATASET[:16]}-2/", [], True),
        (f"files-{OTHER_DATASET[:16]}/", [(1.0, DATASET)], False),
        (f"shards-{OTHER_DATASET[:16]}-2/", [(1.0, DATASET)], False),
        (f"files-{DATASET[:16]}/images/", [(1.0, DATASET)], False),
        ("elsewhere/", [(1.0, DATASET)], False),
        ("", [(1.0, DATASET)], False),
    ],
)
def test_an_output_of_another_dataset_than_the_runs_is_refused(
    scenario: Scenario, folder: str, tables: list[tuple[float, str]], passes: bool, is_reused: bool
) -> None:
    """The digest in the evidence is that of the data that the job has read."""
    if is_reused:
        scenario.writes("earlier", *FILES)
        scenario.reuses("earlier")
    job = scenario.jobs["earlier" if is_reused else "preprocess-1"]
    job["ProcessingInputs"][1]["S3Input"]["S3Uri"] = f"s3://b/data/{folder}"
    scenario.tables = tables
    if passes:
        scenario.verify()
    else:
        with pytest.raises(
            StageFailed, match="The output of preprocess does not come from the dataset dddddddddddd of this run"
        ):
            scenario.verify()


def test_a_record_without_the_datas_digest_matches_no_dataset(scenario: Scenario) -> None:
    scenario.run.preparation.cache_inputs = {}
    scenario.tables = [(1.0, "")]
    with pytest.raises(StageFailed, match="does not come from the dataset"):
        scenario.verify()


def test_names_that_a_text_would_be_split_at_are_whole(scenario: Scenario) -> None:
    scenario.versions = [key for key in scenario.versions if key.startswith("artifacts/train/")]
    names = ("a\u2028b.csv", "c\rd.csv", "e\x85f.csv", "g\nh.csv", "train/i\x0bj.csv")
    scenario.run.preparation.output = scenario.writes("preprocess-1", *names)
    scenario.verify()


@pytest.mark.parametrize("is_copied", [False, True])
def test_an_output_of_a_job_that_sagemaker_does_not_know_is_refused(scenario: Scenario, is_copied: bool) -> None:
    scenario.reuses("unknown")
    with pytest.raises(StageFailed, match="SageMaker has no job unknown, the recorded job of preprocess"):
        scenario.verify(is_copied)


def test_a_job_and_the_runs_actions_are_read_once_from_aws(scenario: Scenario) -> None:
    scenario.writes("earlier", *FILES)
    scenario.reuses("earlier")
    listed: list[str] = []
    actions = scenario.pipeline.actions
    scenario.pipeline.actions = lambda run_id: listed.append(run_id) or actions(run_id)
    scenario.verify()
    assert (listed, scenario.described) == (["r1"], ["earlier"])
