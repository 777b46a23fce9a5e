"""Verify, before the approval, that the outputs of a run come from its own jobs and are unchanged.

The steps and jobs of all runs share two roles, so another run may write the artifacts of this run. It cannot change
CodePipeline's list of a run's actions, the input of a state machine's execution, SageMaker's record of a job with its
request and message, or the versions of an object, which no role can delete. The deciding steps read these, and the
run's own files.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Pipeline
from mlops_cli.backends.aws.clients.s3 import UNVERSIONED, Bucket
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.infra.dataset import FOLDER, TABLE
from mlops_cli.backends.aws.runs.status import JOB, latest_attempt
from mlops_cli.backends.aws.stages.jobs.job_builder import JobBuilder
from mlops_cli.backends.aws.stages.jobs.job_outputs import MODEL, REPORTS, REPORTS_VERSION
from mlops_cli.backends.aws.stages.jobs.job_requests import ARCHIVE, digests_prefix, name_of
from mlops_cli.core.cache_inputs import THE_DATA
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.files.hashing import digest_bytes

HINT = (
    "Another run may have changed it (mlops runs), or deploy-infra has changed the jobs while this run was under way. "
    "Train again: mlops run --force"
)
ARTIFACT = re.compile(r"(artifacts/[^/]+/[^/]+/[^/]+/)(.*)")
# A data folder. Its name contains the beginning of the data's digest.
NAMED_DATASET = re.compile(rf"{FOLDER}(?:files|shards)-([0-9a-f]{{16}})(?:-\d+)?/")
# A file's name, which may contain a newline, and its digest.
ROW = re.compile(r"[^\0]+\0[0-9a-f]{64}\n")


class JobProvenance:
    """The provenance of one run. ``is_same_code``: compares another job's archive with this run's files."""

    def __init__(
        self,
        run: Run,
        pipeline: Pipeline,
        state_machines: Client,
        sagemaker: Client,
        bucket: Bucket,
        job_builder: JobBuilder,
        is_same_code: Callable[[Stage, Run, bytes], bool],
    ) -> None:
        self._run = run
        self._pipeline = pipeline
        self._state_machines = state_machines
        self._sagemaker = sagemaker
        self._bucket = bucket
        self._job_builder = job_builder
        self._is_same_code = is_same_code
        self._descriptions: dict[str, dict[str, Any]] = {}

    def verify(self, stage: Stage, is_copied: bool) -> None:
        """Raise StageFailed if an output comes from another job or other code, or was written twice.

        The stages that a run has copied were verified with the files of their original run.
        """
        record = self._run.stage(stage.name)
        if not record.artifact:
            raise StageFailed(f"The run has no output of {stage.name}.", HINT)
        job, executed = self._executed(stage)
        ended = math.inf
        if job and executed.get("kind") == stage.kind.value:
            self._verify_own_request(stage, executed)
            ended = job.updated
        elif stage.kind is Kind.PROCESSING and not is_copied:
            self._verify_reused(stage)
        if stage.kind is Kind.PROCESSING:
            if not is_copied:
                self._verify_dataset(stage, record)
            self._verify_folder(stage, record)
        else:
            self._verify_archives(stage, record, ended)

    @cached_property
    def _actions(self) -> Sequence[ActionRun]:
        return self._pipeline.actions(self._run.id)

    def _executed(self, stage: Stage) -> tuple[ActionRun | None, dict[str, Any]]:
        """Return the action that waits for this run's job, and the input of its state machine's execution."""
        actions = latest_attempt(stage.name, self._actions)
        jobs = [action for action in actions if action.name == JOB and action.external]
        return (jobs[-1], self._document(jobs[-1])) if jobs else (None, {})

    def _document(self, job: ActionRun) -> dict[str, Any]:
        document = json.loads(self._state_machines.describe_execution(executionArn=job.external)["input"])
        return document if isinstance(document, dict) else {}

    def _verify_own_request(self, stage: Stage, document: dict[str, Any]) -> None:
        expected = self._job_builder.prepare(stage, self._run, name_of(document["request"]))
        is_own = self._comparable(expected.document) == self._comparable(document)
        if not is_own or self._run.stage(stage.name).artifact != expected.artifact:
            raise StageFailed(f"The output of {stage.name} does not come from this run's own job.", HINT)

    def _comparable(self, document: Mapping[str, Any]) -> str:
        """Return the document as text, without the dataset: another dataset may have been uploaded since."""
        datasets = self._bucket.uri(FOLDER)
        return re.sub(re.escape(datasets) + r'[^"]*', datasets, json.dumps(document, sort_keys=True))

    def _verify_reused(self, stage: Stage) -> None:
        """Raise StageFailed unless the other run's job has executed the same as this run's own job would."""
        artifact = self._run.stage(stage.name).artifact
        executed = self._description(stage.name, artifact)
        expected = self._job_builder.prepare(stage, self._run, _job_of(artifact))
        request = expected.document["request"]
        same = expected.artifact == artifact and all(
            _processing_part(part, executed) == _processing_part(part, request)
            for part in ("AppSpecification", "Environment", "RoleArn", "outputs")
        )
        if not (same and self._has_same_inputs(stage, request, executed)):
            raise StageFailed(f"The output of {stage.name} that this run reuses comes from another job.", HINT)

    def _has_same_inputs(self, stage: Stage, request: Mapping[str, Any], executed: Mapping[str, Any]) -> bool:
        expected, actual = _inputs(request), _inputs(executed)
        if expected.keys() != actual.keys():
            return False
        return all(
            uri == actual[target] or self._is_equal_input(stage, uri, actual[target])
            for target, uri in expected.items()
        )

    def _is_equal_input(self, stage: Stage, expected: str, actual: str) -> bool:
        """Return True if an input at another address has the same content: code, or an output.

        Every dataset passes here, because _verify_dataset compares datasets.
        """
        keys = [self._bucket.key_of(uri) for uri in (expected, actual)]
        if all(key.startswith(FOLDER) for key in keys):
            return True
        if all(key.startswith("code/") for key in keys):
            archive = self._bucket.get(f"{keys[1]}{ARCHIVE}")
            return archive is not None and self._is_same_code(stage, self._run, archive)
        ours, theirs = (ARTIFACT.fullmatch(key) for key in keys)
        if not (ours and theirs and ours[2] == theirs[2]):
            return False
        source = next(record for record in self._run.stages if record.artifact == ours[1])
        return self._folder_digest(source.name, theirs[1]) == source.output

    def _verify_dataset(self, stage: Stage, record: StageRun) -> None:
        """Raise StageFailed if a processing job has read another dataset than the run names."""
        description, digest = self._description(stage.name, record.artifact), record.cache_inputs.get(THE_DATA, "")
        keys = (self._bucket.key_of(uri) for uri in _inputs(description).values())
        datasets = [self._dataset_digest(key, description) for key in keys if key.startswith(FOLDER)]
        if not all(dataset and digest.startswith(dataset) for dataset in datasets):
            raise StageFailed(
                f"The output of {stage.name} does not come from the dataset {digest[:12]} of this run.", HINT
            )

    def _dataset_digest(self, key: str, description: Mapping[str, Any]) -> str:
        """Return the digest, or its beginning, of the data that a job has read; empty if it is unknown.

        A table always has the same key. Its digest is that of the version that was the newest when the job was created.
        """
        if named := NAMED_DATASET.fullmatch(key):
            return named[1]
        versions = [
            version
            for version in (self._bucket.versions(TABLE) if key == TABLE else ())
            if version["Key"] == self._bucket.full_key(TABLE) and "Size" in version  # a version, not a delete marker
        ]
        versions = [version for version in versions if version["LastModified"] <= description["CreationTime"]]
        newest = max(versions, key=lambda version: version["LastModified"], default=None)
        metadata = self._bucket.metadata(TABLE, newest["VersionId"]) if newest else None
        return metadata.sha256 if metadata else ""

    def _verify_folder(self, stage: Stage, record: StageRun) -> None:
        """Raise StageFailed unless a processing job's output has exactly the files in the job's list, each once."""
        if self._folder_digest(stage.name, record.artifact) != record.output:
            raise StageFailed(f"The output of {stage.name} differs from its job's list of files.", HINT)

    def _folder_digest(self, name: str, artifact: str) -> str:
        rows = self._rows(name, artifact)
        written = {self._bucket.full_key(artifact + row.partition("\0")[0]) for row in rows}
        versions = list(self._bucket.versions(artifact))
        _require_once(name, versions)
        if extra := {version["Key"] for version in versions} ^ written:
            raise StageFailed(f"The output of {name} differs from its job's list of files: {min(extra)}.", HINT)
        return digest_bytes("".join(sorted(rows)).encode())

    def _rows(self, stage: str, artifact: str) -> list[str]:
        """Return name and digest of each file of the job, from its message, which only the job can write."""
        job, description = _job_of(artifact), self._description(stage, artifact)
        rows: list[str] = []
        for digest in str(description.get("ExitMessage", "")).split():
            content = self._bucket.get(digests_prefix(artifact) + digest)
            if content is None or digest_bytes(content) != digest:
                raise StageFailed(f"The list of the files that the job {job} has written was changed.", HINT)
            rows += ROW.findall(content.decode())
        if not rows:
            raise StageFailed(f"The job {job} of {stage} has not listed its files.", HINT)
        return rows

    def _description(self, stage: str, artifact: str) -> dict[str, Any]:
        """Return SageMaker's description of the job of a stage's output. Raise StageFailed if there is none."""
        job = _job_of(artifact)
        if job not in self._descriptions:
            try:
                self._descriptions[job] = dict(self._sagemaker.describe_processing_job(ProcessingJobName=job))
            except AwsError as error:
                if error.is_not_found or error.code == "ValidationException":
                    raise StageFailed(f"SageMaker has no job {job}, the recorded job of {stage}.", HINT) from None
                raise
        return self._descriptions[job]

    def _verify_archives(self, stage: Stage, record: StageRun, ended: float) -> None:
        """Raise StageFailed if a training's model or reports have a second version or are newer than their job.

        Record the version of the reports, because later comparisons read them again.
        """
        keys = {self._bucket.full_key(record.artifact + name) for name in (MODEL, REPORTS)}
        versions = [version for version in self._bucket.versions(record.artifact + "output/") if version["Key"] in keys]
        _require_once(stage.name, versions)
        if late := [version["Key"] for version in versions if version["LastModified"].timestamp() > ended]:
            raise StageFailed(f"The output of {stage.name} was changed after its job had written it: {late[0]}.", HINT)
        reports = [version["VersionId"] for version in versions if version["Key"].endswith(REPORTS)]
        record.detail = {**record.detail, REPORTS_VERSION: "".join(reports)}


def no_versions_error() -> StageFailed:
    return StageFailed(
        "The bucket has no versioning, so mlops cannot detect if another run has changed this run's files.",
        "Enable them: aws s3api put-bucket-versioning --bucket BUCKET --versioning-configuration Status=Enabled",
    )


def _require_once(stage: str, versions: Sequence[Mapping[str, Any]]) -> None:
    counts = Counter(version["Key"] for version in versions)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise StageFailed(f"The output of {stage} was changed after its job had written it: {min(twice)}.", HINT)
    if any(version["VersionId"] == UNVERSIONED for version in versions):
        raise no_versions_error()


def _job_of(artifact: str) -> str:
    return artifact.rstrip("/").rpartition("/")[2]


def _processing_part(name: str, request: Mapping[str, Any]) -> Any:
    """Return one part of a processing job's request, or of SageMaker's description of the job."""
    if name == "AppSpecification":
        parts = ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
        return {part: request[name].get(part) for part in parts}
    if name == "outputs":
        outputs = (output["S3Output"] for output in request["ProcessingOutputConfig"]["Outputs"])
        return sorted((output["S3Uri"], output["LocalPath"]) for output in outputs)
    return request.get(name)


def _inputs(request: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return the addresses of a processing job's inputs, by their paths in the container and their types."""
    inputs = (entry["S3Input"] for entry in request.get("ProcessingInputs", ()))
    return {(entry["LocalPath"], entry["S3DataType"]): entry["S3Uri"] for entry in inputs}
