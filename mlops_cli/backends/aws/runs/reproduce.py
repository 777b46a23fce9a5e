"""Run a run's jobs again on AWS, in a scratch folder, and record nothing.

The command starts the pipeline's own state machine. So the caller needs the permission to start it, but none to create
jobs or pass roles. The jobs' inputs and outputs are below artifacts/reproduction/, the only prefix where the jobs' role
may write, and are removed at the end. If the command is killed, its outputs stay until the next reproduction or
cleanup.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.clients.logs import Logs
from mlops_cli.backends.aws.clients.model_registry import kept_key
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.clients.stepfunctions import RUNNING, SUCCEEDED, StateMachine
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.runs.failure_reason import TAIL_LINES
from mlops_cli.backends.aws.stages.approval_report import ENVIRONMENT, key_of
from mlops_cli.backends.aws.stages.executor import AwsStageExecutor
from mlops_cli.backends.aws.stages.jobs import job_outputs
from mlops_cli.backends.aws.stages.jobs.job_builder import LOG_GROUPS, REPRODUCE_PREFIX
from mlops_cli.backends.base import Reproductions
from mlops_cli.backends.run_follower import PollInterval
from mlops_cli.core.engine import RunView, StageFailed, StageResult, run_or_reuse_stage
from mlops_cli.core.jobs.script_job import progress_in
from mlops_cli.core.models.reproducibility import REPRODUCED, Reproduction, check_trained, compare, manifest
from mlops_cli.core.runs import Run, StageRun, new_run
from mlops_cli.core.stages import STAGES, TRAINING, Kind, Stage, stage_named
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.files.model_archive import digest_contents
from mlops_cli.frameworks import FRAMEWORK

SHORTEST, LONGEST = 0.5, 5.0
STOPPING_SECONDS = 60.0


class AwsReproductions(Reproductions):
    def __init__(self, deployed: DeployedProject) -> None:
        self._deployed = deployed

    def manifest(self, run: Run) -> dict[str, Any]:
        """Return the manifest. ``git`` is None if the run's source is a commit: its revision says the same."""
        noted = self._deployed.bucket.get_json(key_of(run.id, ENVIRONMENT)) or {"git": None}
        revision = self._deployed.services.pipeline.execution(run.id).revision
        jobs = {name: run.stage(name).detail for name in REPRODUCED}
        machine = {name: detail.get("machine") for name, detail in jobs.items()}
        requirements = {name: detail.get("requirements") for name, detail in jobs.items()}
        return manifest(run, {"revision": revision, **noted, "machine": machine, "requirements": requirements})

    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        self._deployed.require_owner()
        check_trained(run)
        deployed, client = self._deployed, self._deployed.account.client
        job_builder = deployed.job_builder(deployed.outputs, deployed.bucket, deployed.machines, scratch_prefix(run.id))
        executor = ReproduceExecutor(deployed.project, deployed.use_case, deployed.services, job_builder)
        machine = StateMachine(client("stepfunctions"), deployed.pipeline_outputs["StateMachineArn"])
        return _reproduce(run, executor, JobRunner(machine, Logs(client("logs")), deployed.outputs.endpoint), view)


def scratch_prefix(run_id: str) -> str:
    return f"artifacts/reproduction/{run_id}/"


@dataclass
class JobRunner:
    """Runs jobs one after the other and shows their progress."""

    machine: StateMachine
    logs: Logs
    endpoint: str

    def run(self, stage: Stage, name: str, document: dict[str, object], view: RunView) -> None:
        """Run the job to its end. Raise StageFailed if it fails. Stop it on Ctrl-C."""
        execution = self.machine.start(name, document)
        try:
            status, reason = self._wait(stage, name, execution, view)
        except BaseException:
            self.machine.stop(execution, "mlops reproduce was stopped")
            raise
        if status != SUCCEEDED:
            tail = [f"  {line}" for line in self.logs.tail(_log(stage, name), TAIL_LINES)]
            message = "\n".join([f"{stage.script} failed: {reason or status}", *tail])
            raise StageFailed(message, f"The whole log: {_log(stage, name)} in CloudWatch")

    def _wait(self, stage: Stage, name: str, execution: str, view: RunView) -> tuple[str, str]:
        interval = PollInterval(SHORTEST, LONGEST)
        while (outcome := self.machine.describe(execution))[0] == RUNNING:
            lines = self.logs.new_lines(_log(stage, name))
            updates = [progress for line in lines if (progress := progress_in(line))]
            for progress in updates:
                view.progress(stage.name, *progress)
            interval.wait(bool(updates))
        return outcome

    def stop_orphaned_jobs(self, run_id: str) -> None:
        """Stop the jobs of a killed reproduction of the same run."""
        deadline = time.monotonic() + STOPPING_SECONDS
        while (executions := list(self._orphaned_executions(run_id))) and time.monotonic() < deadline:
            for execution in executions:
                self.machine.stop(execution, "mlops reproduce starts again")
            time.sleep(SHORTEST)

    def _orphaned_executions(self, run_id: str) -> list[str]:
        begin, middle = f"{self.endpoint}--{REPRODUCE_PREFIX}", f"-{run_id[:6]}-"
        return [arn for name, arn in self.machine.running() if name.startswith(begin) and middle in name]


def _log(stage: Stage, job: str) -> str:
    return f"{LOG_GROUPS[stage.kind]}:{job}"


class ReproduceExecutor(AwsStageExecutor):
    """Executes every stage, compares its cache inputs with the original run's, records nothing."""

    original: Run
    runner: JobRunner
    scratch: Path

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:  # noqa: ARG002
        return None

    def previous(self, stage: Stage) -> StageRun | None:
        return self.original.stage(stage.name)

    def save(self, run: Run) -> None:
        """Record nothing: a reproduction is not a run of the project."""

    def execute(self, stage: Stage, run: Run, view: RunView) -> StageResult:
        prepared = self.job_builder.prepare(stage, run)
        record = run.stage(stage.name)
        record.artifact = prepared.artifact
        if stage.kind is Kind.TRAINING:
            record.detail[FRAMEWORK] = self.use_case.framework.name
        self.runner.run(stage, prepared.name, prepared.document, view)
        result = self._job_result(stage, run)
        return replace(result, detail={**result.detail, "machine": asdict(prepared.machine)})

    def _folder(self, record: StageRun) -> Path:
        return self.scratch / record.name


def _reproduce(original: Run, executor: ReproduceExecutor, job_runner: JobRunner, view: RunView) -> Reproduction:
    """Train the run's model again and compare. On Ctrl-C, stop the job and raise MlopsError."""
    job_runner.stop_orphaned_jobs(original.id)
    executor.bucket.delete(scratch_prefix(original.id))
    run = new_run(original.id, original.overrides, REPRODUCED[0])
    with tempfile.TemporaryDirectory() as folder:
        executor.original, executor.runner, executor.scratch = original, job_runner, Path(folder)
        try:
            for name in REPRODUCED:
                run_or_reuse_stage(stage_named(name), run, executor, view, STAGES)
            pair = _by_contents(original, run, executor.bucket, executor.scratch)
            return compare(*pair, executor.use_case.metrics.split)
        except KeyboardInterrupt:
            raise MlopsError(
                "Stopped; the job on AWS was stopped, too.",
                f"Start again: mlops reproduce {original.id}",
                EXIT_INTERRUPTED,
            ) from None
        finally:
            executor.bucket.delete(scratch_prefix(original.id))


def _by_contents(original: Run, repeated: Run, bucket: Bucket, scratch: Path) -> tuple[Run, Run]:
    """Return both runs with digests of the models' contents, because SageMaker's archives contain their time."""
    old, new = original.training, repeated.training
    keys = (f"{old.artifact}{job_outputs.MODEL}", kept_key(old.output))
    kept = next((key for key in keys if bucket.exists(key)), None)
    if old.output == new.output or kept is None:
        return original, repeated
    before = scratch / "before.tar.gz"
    bucket.download(kept, before)
    archive = scratch / new.name / job_outputs.PACKAGE
    return _named(original, digest_contents(before)), _named(repeated, digest_contents(archive))


def _named(run: Run, digest: str) -> Run:
    return replace(
        run, stages=[replace(stage, output=digest) if stage.name == TRAINING.name else stage for stage in run.stages]
    )
