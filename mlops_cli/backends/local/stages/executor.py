"""Execute the stages of a local run: jobs and gates as subprocesses, outputs under .mlops/artifacts."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlops_cli.backends.gate_runner import folder_variables
from mlops_cli.backends.local.cleanup.owned_files import remove_unfinished
from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.backends.local.stages.stage_inputs import StageInputs
from mlops_cli.caching.inputs import hyperparameter_values
from mlops_cli.caching.unsent import record_unsent, unsent_files
from mlops_cli.core.cache_inputs import digest_cache_inputs
from mlops_cli.core.engine import RunView, StageResult
from mlops_cli.core.jobs.script_job import input_channels
from mlops_cli.core.models.approval import SHORTFALLS, accepts, approvals_since_rejection, latest_decision
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.core.stages import DATA, Kind, Stage
from mlops_cli.data.metadata import load
from mlops_cli.errors import EXIT_REJECTED, MlopsError
from mlops_cli.files.atomic import read_json, remove_tree, write_atomically
from mlops_cli.files.hashing import digest_file, digest_folder, stat_digest
from mlops_cli.frameworks import DEFAULT, FRAMEWORK
from mlops_cli.monitoring.statistics import EXCLUDE_FROM_STATISTICS
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.project.environment_info import environment_info
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.serving.control import LocalEndpoint, ServerState

if TYPE_CHECKING:
    from mlops_cli.backends.local.stages.job_runner import JobRunner


class Shortfalls(Protocol):
    """Return the shortfalls of a run's model. A rollback (not ``against_live``) need not beat the live model."""

    def __call__(self, run: Run, against_live: bool = True) -> list[str]: ...


class LocalStageExecutor:
    """The engine's StageExecutor on this machine."""

    def __init__(
        self,
        project: Project,
        use_case: UseCase,
        store: RunStore,
        endpoint: LocalEndpoint,
        children: JobProcesses,
        shortfalls: Shortfalls,
    ) -> None:
        self.project = project
        self.use_case = use_case
        self.store = store
        self.endpoint = endpoint
        self.children = children
        self.shortfalls = shortfalls
        self.inputs = StageInputs(project, use_case, store, endpoint)

    @cached_property
    def job_runner(self) -> JobRunner:
        from mlops_cli.backends.local.stages.checkpoints import Checkpoints
        from mlops_cli.backends.local.stages.job_runner import JobRunner
        from mlops_cli.backends.local.stages.model_trial import ModelTrial

        checkpoints = Checkpoints(self.project.artifacts, self.inputs.reads(digest_file))
        trial = ModelTrial(self.use_case.framework.name, self.use_case.example_request)
        time_limits = self.use_case.time_limits
        return JobRunner(self.project, self.children, self.use_case.passed, time_limits, checkpoints, trial)

    def cache_inputs(self, stage: Stage, run: Run) -> dict[str, str]:
        return self.inputs.cache_inputs(stage, run, self.previous(stage))

    def key(self, cache_inputs: dict[str, str]) -> str:
        return digest_cache_inputs(cache_inputs)

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        if stage.kind is Kind.APPROVAL:
            return self._approved(stage, key, run)
        with self.inputs.digests() as digest:
            reads = self.inputs.reads(digest)
            usable = (
                record
                for record in self.store.finished(stage.name, key, run.id)
                if self._is_usable(stage, record) and reads.are_same(record.cache_inputs)
            )
            return next(usable, None)

    def _approved(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        """Return the approval of the same model under the same limits, unless a later decision revoked it."""
        decision = next((approval for approval in self.approvals(run) if approval.key == key), None)
        if decision is None:
            return None
        return StageRun(
            stage.name, reason=f"approved {decision.by}", output=decision.model_digest, run_id=decision.run_id
        )

    def approvals(self, run: Run) -> list[Decision]:
        """Return the valid approvals of the run's model under the present limits, the newest first."""
        candidates = approvals_since_rejection(self.store.decisions(), run.training.output)
        return [decision for decision in candidates if accepts(decision, self._shortfalls(decision, run))]

    def _shortfalls(self, decision: Decision, run: Run) -> list[str]:
        """Return the shortfalls that make an approval invalid.

        An approval in this same run already took the comparison with the live model into account.
        """
        against_live = decision.run_id != run.id and not decision.is_rollback
        return self.shortfalls(run, against_live)

    def _is_usable(self, stage: Stage, record: StageRun) -> bool:
        if stage.kind is Kind.DEPLOY:
            if not approvals_since_rejection(self.store.decisions(), record.output):
                return False  # a model that was rejected since must not count as deployed
            status = self.endpoint.status()
            live = (status.state, status.name, status.model_digest, status.sample, status.batching)
            configuration = (self.endpoint.name, record.output, self.endpoint.sample, self.endpoint.batching)
            return live == (ServerState.IN_SERVICE, *configuration)
        return not record.artifact or self._is_whole(record)

    def _is_whole(self, record: StageRun) -> bool:
        """Return True if an output is unchanged: by its files' stat data, or in a copied project by their content."""
        folder = self.project.state / record.artifact
        if not folder.is_dir():
            return False
        if stat_digest(folder) == record.detail["files"]:
            return True
        return bool(digest_folder(folder) == record.detail["content"])

    def previous(self, stage: Stage) -> StageRun | None:
        return self.store.last_finished(stage.name)

    def save(self, run: Run) -> None:
        self.store.save(run)

    def execute(self, stage: Stage, run: Run, view: RunView) -> StageResult:
        if stage.kind is Kind.APPROVAL:
            detail = {SHORTFALLS: self.shortfalls(run)}
            return StageResult(output=run.training.output, detail=detail, status=Status.WAITING)
        if stage.kind is Kind.DEPLOY:
            return self._deploy(stage, run)
        started = time.time_ns()
        try:
            outcome = self._run_script(stage, run, view)
        finally:
            self.store.save_written_files(
                self.inputs.reads(digest_file).written_files(self.job_runner.reads(run.id, stage.name))
            )
        return self._with_reads(outcome, stage, run, started)

    def _run_script(self, stage: Stage, run: Run, view: RunView) -> StageResult:
        if stage.kind is Kind.GATE:
            return self.job_runner.gate(stage, run, self._gate_variables(stage, run), view)
        if stage.kind is Kind.TRAINING:
            self.save_environment(run)
        values = hyperparameter_values(stage, run, self.use_case)
        outcome = self.job_runner.job(stage, run, values, self._channels(stage, run), view)
        framework = {FRAMEWORK: self.use_case.framework.name} if stage.kind is Kind.TRAINING else {}
        return replace(outcome, detail={**outcome.detail, **self._dataset_detail(stage), **framework})

    def _with_reads(self, outcome: StageResult, stage: Stage, run: Run, started_ns: int) -> StageResult:
        """Return the outcome with the files that the stage has read in addition to its known inputs."""
        log, counted = self.job_runner.reads(run.id, stage.name), run.stage(stage.name).cache_inputs
        with self.inputs.digests() as digest:
            read = self.inputs.reads(digest).cache_inputs(log, started_ns, counted)
        shared, scripts_dir = self.use_case.passed.code, self.project.scripts_dir
        files = unsent_files(read, self.project.root, shared, scripts_dir)
        record_unsent(self.project.state, stage.name, files)
        return replace(outcome, read=read, detail={**outcome.detail, "unsent": files})

    def save_environment(self, run: Run) -> None:
        """Save the environment of the run's model, at the run's start and again when a training is executed."""
        file = self._environment_file(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(environment_info(self.project.root), indent=1) + "\n")

    def saved_environment(self, run: Run) -> dict[str, Any] | None:
        return read_json(self._environment_file(run))

    def _environment_file(self, run: Run) -> Path:
        return self.project.runs / run.id / "environment.json"

    def _dataset_detail(self, stage: Stage) -> dict[str, Any]:
        """Return the dataset's source. The run keeps it, because the dataset may be replaced later."""
        dataset = load(self.project.data) if DATA in stage.inputs else None
        if dataset is None:
            return {}
        return {"dataset": dataset.record}

    def _channels(self, stage: Stage, run: Run) -> dict[str, Path]:
        def folders_of(source: str) -> list[str]:
            return [path.name for path in self._input_folder(source, run).iterdir() if path.is_dir()]

        channels = input_channels(stage, folders_of).items()
        return {name: self._input_folder(source, run) / folder for name, (source, folder) in channels}

    def _input_folder(self, source: str, run: Run) -> Path:
        if source != DATA:
            return self.project.state / run.stage(source).artifact
        dataset = load(self.project.data)
        return dataset.folder if dataset else self.project.data

    def _gate_variables(self, stage: Stage, run: Run) -> dict[str, str]:
        endpoint = gate_variables(self.endpoint, run.deployment.output) if stage.tests_endpoint else {}
        folders = {name: self._input_folder(source, run) for name, source in stage.folders.items()}
        return {**endpoint, **folder_variables(folders)}

    def _deploy(self, stage: Stage, run: Run) -> StageResult:
        """Serve only the approved model: compare the file's digest before and after the deployment."""
        approved = run.approval.output
        self.require_approved(run)
        model = self.project.state / run.training.artifact / "model.tar.gz"
        if not model.is_file():
            raise MlopsError(
                f"The file of the approved model {approved[:12]} is missing: {model}.", "Train it again: mlops run"
            )
        seconds = self.use_case.time_limits.of(stage) * 60.0
        status = self.endpoint.deploy(model, approved, seconds, _framework_of(run))
        if status.model_digest != approved:
            raise MlopsError(
                f"The endpoint serves {status.model_digest}, but the approved model is {approved}.",
                "Deploy again: mlops run --from deploy",
            )
        return StageResult(output=approved, detail={"endpoint": status.name, "url": status.url, "since": status.since})

    def require_approved(self, run: Run) -> None:
        """Raise MlopsError unless the run's model is approved now. The caller holds the project's lock."""
        digest = run.approval.output
        decision = latest_decision(self.store.decisions(), digest)
        if decision is None:
            raise MlopsError(
                f"The model {digest[:12]} of run {run.id} was never approved.",
                "Ask for a decision: mlops run",
                EXIT_REJECTED,
            )
        if not decision.approved:
            raise MlopsError(
                f"The model {digest[:12]} of run {run.id} was rejected {decision.by}.",
                "Approve another one: mlops run",
                EXIT_REJECTED,
            )
        if digest != run.training.output or not self.approvals(run):
            short = "; ".join(self.shortfalls(run)) or "it is of another model"
            raise MlopsError(
                f"The approval of the model {digest[:12]} does not cover the present limits in usecase.toml: {short}.",
                "Ask for a new decision: mlops run",
                EXIT_REJECTED,
            )

    def kill_orphans(self) -> None:
        """End the processes and remove the partial files of a killed run."""
        self.children.kill_orphans()
        remove_unfinished(self.project)
        for leftover in self.project.artifacts.glob("*/.tmp-*"):
            remove_tree(leftover)


def _framework_of(run: Run) -> str:
    """Return the framework with which the run's model was trained: usecase.toml may name another one now."""
    return str(run.training.detail.get(FRAMEWORK, DEFAULT.name))


def gate_variables(endpoint: LocalEndpoint, digest: str) -> dict[str, str]:
    """Return the variables of a gate on the endpoint. Its requests are excluded from the statistics."""
    url = f"{endpoint.invocations_url}?{EXCLUDE_FROM_STATISTICS}" if endpoint.sample else endpoint.invocations_url
    return {"MLOPS_ENDPOINT_URL": url, "MLOPS_MODEL_DIGEST": digest}
