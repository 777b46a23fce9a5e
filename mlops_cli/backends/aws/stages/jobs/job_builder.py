"""Build the request of a job: upload the code, resolve the channels, name the job and its output."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_cli.backends.aws.clients.logs import JOB_LOGS
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra import dataset
from mlops_cli.backends.aws.infra.source.sent_files import sent_code, shared_code
from mlops_cli.backends.aws.stack_outputs import StackOutputs
from mlops_cli.backends.aws.stages import index_url
from mlops_cli.backends.aws.stages.containers import launcher, output_digests, secrets_runner
from mlops_cli.backends.aws.stages.jobs import trial_job
from mlops_cli.backends.aws.stages.jobs.job_outputs import MODEL
from mlops_cli.backends.aws.stages.jobs.job_requests import (
    ARCHIVE,
    DIGESTS,
    LAUNCHER,
    RUNNER,
    JobSpec,
    Request,
    job_name,
    needs_launcher,
    processing_request,
    training_request,
    trial_request,
)
from mlops_cli.backends.aws.stages.jobs.package_index import (
    INSTALLER,
    NO_INDEX,
    RENAMED_REQUIREMENTS,
    REQUIREMENTS,
    PackageIndex,
)
from mlops_cli.caching.inputs import hyperparameter_values
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.core.jobs.script_job import input_channels
from mlops_cli.core.jobs.script_mode import Hyperparameter
from mlops_cli.core.jobs.secret_addresses import addresses
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import DATA, Kind, Stage
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.model_archive import pack
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.instances import InstanceSettings, JobInstances
from mlops_cli.project.usecase.use_case import UseCase

LOG_GROUPS = {Kind.PROCESSING: JOB_LOGS.format("Processing"), Kind.TRAINING: JOB_LOGS.format("Training")}
# Prefix of a reproduction's job names; a run's own job names begin with their stages.
REPRODUCE_PREFIX = "again-"


@dataclass(frozen=True)
class PreparedJob:
    """``document``: the state machine's input. ``artifact``: the key prefix of the job's output.

    ``trial``: the name of the job that tries a trained model; empty without one.
    """

    name: str
    artifact: str
    document: Request
    machine: JobInstances
    trial: str = ""


def job_log(stage: Stage, job: PreparedJob) -> str:
    """Return the address of the log of a stage's job, and of the job that tries its model."""
    own, trial = f"{LOG_GROUPS[stage.kind]}:{job.name}", f"{LOG_GROUPS[Kind.PROCESSING]}:{job.trial}"
    return f"{own} {trial}" if job.trial else own


class JobBuilder:
    """``machines``: the jobs' instances, not always the use case's own (see deployed_settings.py).

    ``checkpoints``: the secret name of the folder for the run's checkpoints. ``scratch``: a folder below artifacts/ for
    all inputs and outputs; it is also a part of the jobs' names.
    """

    def __init__(
        self,
        project: Project,
        use_case: UseCase,
        outputs: StackOutputs,
        bucket: Bucket,
        region: str,
        tags: Mapping[str, str],
        machines: InstanceSettings,
        scratch: str = "",
        checkpoints: str = "",
    ) -> None:
        self._project = project
        self._use_case = use_case
        self._outputs = outputs
        self._bucket = bucket
        self._region = region
        self._tags = tags
        self._machines = machines
        self._scratch = scratch
        self._checkpoints = checkpoints

    def prepare(self, stage: Stage, run: Run, name: str = "") -> PreparedJob:
        """Return the job. If a job with this name exists, its code was sent before.

        Each attempt has a job and an output of its own, so that its output cannot be confused with an earlier
        attempt's.
        """
        prefix, sends = f"{REPRODUCE_PREFIX}{stage.name}" if self._scratch else stage.name, not name
        name = name or job_name(self._outputs.endpoint, prefix, run.id, os.urandom(2).hex())
        key_prefix = f"{self._scratch or 'artifacts/'}{stage.name}/{run.stage(stage.name).key[:16]}/"
        parameters = hyperparameter_values(stage, run, self._use_case)
        spec = self._job_spec(stage, run, name, key_prefix, self._code_address(stage, parameters, sends))
        if stage.kind is Kind.TRAINING:
            request = training_request(stage.script, parameters, spec)
        else:
            request = processing_request(stage.name, stage.script, parameters, spec)
        document = {"kind": stage.kind.value, "request": self._outputs.company.job_request(request)}
        prepared = PreparedJob(name, f"{key_prefix}{name}/", document, self._machine(stage))
        if stage.kind is not Kind.TRAINING or self._scratch:
            return prepared
        trial = trial_job.trial_name(self._outputs.endpoint, run, name)
        request = self._trial_request(trial, f"{prepared.artifact}{MODEL}", spec, sends)
        trial_document = self._outputs.company.job_request(request)
        return replace(prepared, trial=trial, document={**document, "trial": trial_document})

    def _trial_request(self, name: str, model: str, training: JobSpec, sends: bool) -> Request:
        """Return the request of the job that tries the model: the packages that it installs are not known yet."""
        framework = self._use_case.framework
        with tempfile.TemporaryDirectory() as folder:
            names = trial_job.write_files(Path(folder), self._use_case)
            code = self._sent(Path(folder), names, sends)
        spec = replace(
            training,
            code=code,
            machine=self._machines.trial,
            isolated=not framework.uses_handlers,
        )
        variables = trial_job.variables(framework, self._outputs.company.index)
        return trial_request(name, self._outputs.serving_image, variables, self._bucket.uri(model), spec)

    def _job_spec(self, stage: Stage, run: Run, name: str, key_prefix: str, code: str) -> JobSpec:
        """Return the specification. SageMaker adds a folder with the job's name to a training job's output."""
        return JobSpec(
            name=name,
            image=self._outputs.training_image,
            role=self._outputs.job_role,
            region=self._region,
            code=code,
            output=self._bucket.uri(key_prefix if stage.kind is Kind.TRAINING else f"{key_prefix}{name}/"),
            inputs=self._channels(stage, run),
            machine=self._machine(stage),
            checkpoints=self._bucket.uri(self._checkpoints_prefix(stage, run, key_prefix)),
            isolated=not self.requirements() and not self.secrets,
            tags=self._tags,
            variables=self._use_case.passed.fixed,
            secrets=self.secrets,
            index=self._index,
        )

    @property
    def _index(self) -> PackageIndex:
        """The package index that a job needs if it installs packages."""
        return self._outputs.company.index if self.requirements() else NO_INDEX

    @property
    def secrets(self) -> dict[str, str]:
        """The addresses of the scripts' secrets, by name."""
        return addresses(self._use_case.passed.secrets, self._outputs.endpoint)

    def _checkpoints_prefix(self, stage: Stage, run: Run, key_prefix: str) -> str:
        """Return a prefix for this run alone: a forced run must not load the weights of an earlier run.

        A job trusts the files there. So the name is known only to the steps of this run, and no other job can write
        there.
        """
        if self._scratch:
            return f"{key_prefix}checkpoints-{run.id}/"
        return f"checkpoints/{self._checkpoints}/{stage.name}/{run.stage(stage.name).key[:16]}/"

    def copy_code(
        self, folder: Path, stage: Stage, parameters: Mapping[str, Hyperparameter] | None = None
    ) -> list[str]:
        """Copy all files that a job needs into ``folder``. Return their names."""
        files = {**self._code_files(), **_own_files(stage, parameters or {}, bool(self.secrets), self._index)}
        if stage.kind is Kind.TRAINING and self._index.secret:
            files[RENAMED_REQUIREMENTS] = files.pop(REQUIREMENTS)
        return _copy_code(files, folder)

    def _code_address(self, stage: Stage, parameters: Mapping[str, Hyperparameter], sends: bool) -> str:
        """Return the address of a job's code. Upload the code if it is missing; a deciding step may upload none."""
        with tempfile.TemporaryDirectory() as folder:
            names = self.copy_code(Path(folder), stage, parameters)
            return self._sent(Path(folder), names, sends)

    def _sent(self, folder: Path, names: list[str], sends: bool) -> str:
        """Return the address of the archive of these files; raise StageFailed if it is there with other content."""
        with tempfile.TemporaryDirectory() as packed:
            archive = Path(packed) / ARCHIVE
            digest = pack(folder, archive, names)
            key = f"{self._scratch}code/{digest[:16]}/{ARCHIVE}"
            uploaded = self._bucket.metadata(key)
            if uploaded is None and sends:
                uploaded = self._bucket.put_once(key, archive.read_bytes(), "application/gzip")
        if uploaded and uploaded.checksum != digest:
            raise StageFailed(
                f"{self._bucket.uri(key)} has content that does not match the digest in its name: "
                f"S3 has {uploaded.checksum[:12]}.",
                f"Find out who wrote it, then remove it: aws s3 rm {self._bucket.uri(key)}",
            )
        return self._bucket.uri(key)

    def _code_files(self) -> dict[str, Path]:
        """Return the jobs' files by their paths in the code archive: scripts, usecase.toml, and shared files."""
        root, training = self._project.root, self._project.training
        own = {name: training / name for name in sent_code(root, self._project.scripts_dir)}
        own[self._project.use_case_file.name] = self._project.use_case_file
        shared = shared_code(root, self._use_case.passed.code)
        if same := sorted(own.keys() & shared.keys()):
            raise ConfigurationError(
                f"{own[same[0]]} and {shared[same[0]]} would have the same path on AWS.", "Rename one of them."
            )
        return {**own, **shared}

    def _channels(self, stage: Stage, run: Run) -> dict[str, str]:
        """Return the channels' addresses."""

        def folders_of(source: str) -> set[str]:
            artifact = run.stage(source).artifact
            paths = (item.key.removeprefix(artifact) for item in self._bucket.list_objects(artifact))
            return {path.split("/")[0] for path in paths if "/" in path}

        channels = input_channels(stage, folders_of).items()
        return {name: self._bucket.uri(self._key_of(stage, run, source, folder)) for name, (source, folder) in channels}

    def _key_of(self, stage: Stage, run: Run, source: str, folder: str) -> str:
        """Return the key prefix of an input: the dataset, a stage's output, or a folder of an output."""
        if source == DATA:
            metadata, machines = self._bucket.get_json(dataset.METADATA), self._machine(stage).instance_count
            return dataset.dataset_prefix(self._bucket, metadata, machines)
        return run.stage(source).artifact + (f"{folder}/" if folder else "")

    def _machine(self, stage: Stage) -> JobInstances:
        return self._machines.of(stage)

    def requirements(self) -> list[str]:
        """Return the packages to install in the container."""
        file = self._project.training / REQUIREMENTS
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def _own_files(
    stage: Stage, parameters: Mapping[str, Hyperparameter], has_secrets: bool, index: PackageIndex
) -> dict[str, Path]:
    """Return the files of mlops that the job's container executes, by name."""
    installer = {INSTALLER: Path(index_url.__file__)} if index.secret else {}
    runner = {RUNNER: Path(secrets_runner.__file__), **installer} if has_secrets or index.secret else {}
    if stage.kind is not Kind.TRAINING:
        return {DIGESTS: Path(output_digests.__file__), **runner}
    is_launched = has_secrets or bool(index.secret) or needs_launcher(parameters)
    return {**({LAUNCHER: Path(launcher.__file__)} if is_launched else {}), **runner}


def _copy_code(files: Mapping[str, Path], folder: Path) -> list[str]:
    """Copy the files and the package for scripts into ``folder``; return their names."""
    sources = {**files} | {f"{LIBRARY.name}/{path.name}": path for path in sorted(LIBRARY.glob("*.py"))}
    for name, source in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / name)
    return list(sources)
