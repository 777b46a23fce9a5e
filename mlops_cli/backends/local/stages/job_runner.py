"""Run one job or gate: its process, log, progress lines and output, and its failure in plain words."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_cli.backends.gate_runner import execute_gate, gate_environment, gate_failure, has_passed
from mlops_cli.backends.local.stages.checkpoints import Checkpoints
from mlops_cli.backends.local.stages.failure_notes import package_notes, script_notes
from mlops_cli.backends.local.stages.last_training import LastTraining, Trained
from mlops_cli.backends.local.stages.model_trial import ModelTrial
from mlops_cli.backends.local.stages.packed_code import PACKAGE
from mlops_cli.core.engine import RunView, StageFailed, StageResult
from mlops_cli.core.jobs import script_mode
from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.script_job import (
    CHECKPOINT_VARIABLE,
    ScriptJob,
    command_line,
    describe_exit,
    parse_json_output,
    progress_in,
)
from mlops_cli.core.jobs.script_mode import Hyperparameter
from mlops_cli.core.jobs.time_limits import TimeLimits, time_limit_message
from mlops_cli.core.runs import CONTINUE, TRAINED_IN, Run
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.files.atomic import open_unless_link, remove_tree
from mlops_cli.files.hashing import digest_folder, stat_digest
from mlops_cli.files.model_archive import pack
from mlops_cli.frameworks.package_check import pickles
from mlops_cli.plain_text import MOST_CHARACTERS, clipped, log_line
from mlops_cli.processes.child_process import JobProcesses, TimeLimitError
from mlops_cli.processes.output_lines import LastLines, OutputLine
from mlops_cli.project.environment import compile_bootstrap, job_environment, unpassed_variables
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.script_secrets import required_secrets

TAIL_LINES = 8
KEPT = "The training is kept: after a change of the examples or the handlers, mlops run only tries the model again."


class JobRunner:
    """Runs the scripts of one project."""

    def __init__(
        self,
        project: Project,
        children: JobProcesses,
        passed: PassedVariables,
        time_limits: TimeLimits,
        checkpoints: Checkpoints,
        trial: ModelTrial,
    ) -> None:
        self.project = project
        self.children = children
        self.passed = passed
        self.time_limits = time_limits
        self.checkpoints = checkpoints
        self.trial = trial
        self.last_training = LastTraining(project, checkpoints.reads)
        compile_bootstrap()

    @cached_property
    def _base_environment(self) -> dict[str, str]:
        """Return the variables that all scripts get."""
        return job_environment({}, self.project.training, self.passed)

    def job(
        self,
        stage: Stage,
        run: Run,
        hyperparameters: Mapping[str, Hyperparameter],
        channels: Mapping[str, Path],
        view: RunView,
    ) -> StageResult:
        """Run a script. Its output appears below artifacts/ completely or not at all."""
        draft = _empty_folder(self.project.artifacts / stage.name / f".tmp-{run.stage(stage.name).key[:16]}")
        if stage.kind is not Kind.TRAINING:
            outcome = self._execute(draft, stage, run, hyperparameters, channels, view)
            folder = _target(draft, outcome)
            remove_tree(folder)
            draft.rename(folder)
            return self._with_digests(outcome, folder)
        trained = self._restored(draft, stage, run)
        if trained is None:
            since_ns = time.time_ns()
            outcome = self._execute(_empty_folder(draft), stage, run, hyperparameters, channels, view)
            trained = self.last_training.keep(draft, stage, run, outcome, since_ns, self.reads(run.id, stage.name))
            self.checkpoints.remove_all(stage)
        self._try_model(trained.folder / PACKAGE, self.log(run.id, stage.name))
        folder = _target(draft, trained.outcome)
        self.last_training.publish(trained, folder, stage, run)
        remove_tree(draft)
        return self._with_digests(trained.outcome, folder)

    def _execute(
        self,
        draft: Path,
        stage: Stage,
        run: Run,
        hyperparameters: Mapping[str, Hyperparameter],
        channels: Mapping[str, Path],
        view: RunView,
    ) -> StageResult:
        """Run the script with ``draft`` as its output folder."""
        job = ScriptJob(stage.name, stage.kind, self.project.training / stage.script, draft, channels, hyperparameters)
        if stage.kind is Kind.TRAINING:
            _prepare_folders(job)
        environment = self._environment(job, stage, run)
        try:
            self._run(stage, run, command_line(job, sys.executable), environment, view)
        except StageFailed as failure:
            raise failure.with_note(_noted_failure(job)) if _noted_failure(job) else failure from None
        remove_tree(script_mode.input_folder(job))
        return _training_output(job) if stage.kind is Kind.TRAINING else _processing_output(job)

    def _with_digests(self, outcome: StageResult, folder: Path) -> StageResult:
        detail = {**outcome.detail, "files": stat_digest(folder), "content": digest_folder(folder)}
        return StageResult(outcome.output, str(folder.relative_to(self.project.state)), detail)

    def _restored(self, draft: Path, stage: Stage, run: Run) -> Trained | None:
        """Return the output of the last training, if only the trial of its model is to be repeated."""
        trained = self.last_training.restore(draft, stage, run, self.reads(run.id, stage.name))
        if trained is not None:
            run.stage(stage.name).reason = reason = f"{TRAINED_IN}{trained.run_id}, tried again"
            with open(self._log(stage, run), "a", encoding="utf-8", opener=open_unless_link) as log:
                log.write(f"mlops: {reason}\n")
        return trained

    def _try_model(self, package: Path, log: Path) -> None:
        try:
            self.trial.run(package, self.children, log)
        except StageFailed as failure:
            notes = package_notes(failure.message, self.project)
            raise failure.with_note(f"{notes}\n{KEPT}".strip()) from None

    def _environment(self, job: ScriptJob, stage: Stage, run: Run) -> dict[str, str]:
        if job.kind is not Kind.TRAINING:
            return {}
        checkpoints = self.checkpoints.prepare(stage, run, self.reads(run.id, stage.name))
        return {**script_mode.environment(job, os.cpu_count() or 1), CHECKPOINT_VARIABLE: str(checkpoints)}

    def gate(self, stage: Stage, run: Run, variables: Mapping[str, str], view: RunView) -> StageResult:
        """Run a pytest suite. Raise StageFailed with the failing assertions if it does not pass."""
        watched = {**variables, **self._watched(stage, run)}
        environment = gate_environment(self.project.training, {**self._secrets(), **watched}, self.passed)
        tail = LastLines(TAIL_LINES)
        log = self._log(stage, run)
        report = log.with_suffix(".json")
        with open(log, "wb", opener=open_unless_link) as file:
            on_line = _progress_reader(stage.name, tail, view)
            detail = execute_gate(
                stage, self.project.training, environment, self.children, report, file, on_line, self.time_limits
            )
        if has_passed(detail):
            return StageResult(output=run.stage(stage.name).key, detail=detail)
        message = gate_failure(stage, detail, tail.texts, log)
        raise StageFailed(f"{message}{self._notes(message)}", CONTINUE, detail)

    def _notes(self, output: str) -> str:
        """Return lines about modules that were not found, and about variables that scripts do not get."""
        notes, names = script_notes(output, self.project), unpassed_variables(output, self.passed)
        if not names:
            return notes
        variables = (
            f"Scripts do not get {', '.join(names)}. Name a secret in usecase.toml under [secrets] names, "
            "another variable under [environment] pass."
        )
        return f"{notes}\n{variables}"

    def _secrets(self) -> dict[str, str]:
        return required_secrets(self.passed.secrets, self.project.dotenv)

    def log(self, run_id: str, stage: str) -> Path:
        return self.project.runs / run_id / f"{stage}.log"

    def reads(self, run_id: str, stage: str) -> Path:
        """Return the path of the file in which a stage's processes note the files that they use."""
        return self.project.runs / run_id / f"{stage}.reads"

    def _watched(self, stage: Stage, run: Run) -> dict[str, str]:
        notes = self.reads(run.id, stage.name)
        notes.unlink(missing_ok=True)
        return {"MLOPS_READS": str(notes.resolve())}

    def _log(self, stage: Stage, run: Run) -> Path:
        """Return the path of the stage's next log, and record it in the run."""
        log = self.log(run.id, stage.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        run.stage(stage.name).log = str(log.relative_to(self.project.state))
        return log

    def _run(self, stage: Stage, run: Run, argv: list[str], env: Mapping[str, str], view: RunView) -> None:
        tail = LastLines(TAIL_LINES)
        log = self._log(stage, run)
        environment = {**self._base_environment, **self._secrets(), **env, **self._watched(stage, run)}
        with open(log, "wb", opener=open_unless_link) as file:
            on_line = _progress_reader(stage.name, tail, view)
            minutes = self.time_limits.of(stage)
            try:
                code = self.children.run(argv, self.project.training, environment, file, on_line, minutes * 60)
            except TimeLimitError:
                reason = f"{stage.script} takes too long: {time_limit_message(stage.name, minutes)}"
                raise StageFailed(f"{reason}.\n{_shown(tail)}\nLog: {log}", CONTINUE) from None
        if code != 0:
            lines = _shown(tail)
            message = f"{stage.script} {describe_exit(code)}.\n{lines}{self._notes(lines)}\nLog: {log}"
            raise StageFailed(message, CONTINUE, {"exit_code": code})


def _target(draft: Path, outcome: StageResult) -> Path:
    """Return the place of an output among the artifacts.

    The output is part of the name: a forced run whose output differs must not take an approved model away.
    """
    return draft.with_name(f"{draft.name.removeprefix('.tmp-')}-{outcome.output[:12]}")


def _shown(tail: LastLines) -> str:
    return "\n".join(f"  {line}" for line in tail.texts) or "  (it printed nothing)"


def _empty_folder(folder: Path) -> Path:
    remove_tree(folder)
    folder.mkdir(parents=True)
    return folder


def _prepare_folders(job: ScriptJob) -> None:
    """Create the folders and files that a training job has in SageMaker's container."""
    folder = script_mode.input_folder(job)
    for path in (job.model_folder, job.data_folder, folder / "config", folder / "data"):
        path.mkdir(parents=True)
    for name, text in script_mode.config_files(job).items():
        (folder / "config" / name).write_text(text, encoding="utf-8")
    for name, channel in job.channels.items():
        (folder / "data" / name).symlink_to(channel.resolve())


def _noted_failure(job: ScriptJob) -> str:
    """Return the reason that the script wrote to its failure file, as SageMaker shows it."""
    file = job.output / "failure"
    if job.kind is not Kind.TRAINING or not file.is_file():
        return ""
    with file.open("rb") as stream:
        return clipped(log_line(stream.read(MOST_CHARACTERS * 4).decode("utf-8", "replace").strip()))


def _progress_reader(stage: str, tail: LastLines, view: RunView) -> Callable[[OutputLine], None]:
    """Return a function that passes progress lines to the view and keeps the last of the other lines."""

    def on_line(line: OutputLine) -> None:
        if progress := progress_in(line.text):
            view.progress(stage, *progress)
        else:
            tail.add(line)

    return on_line


def _training_output(job: ScriptJob) -> StageResult:
    """Pack the model folder as SageMaker does. The archive's digest identifies the model."""
    if not any(job.model_folder.iterdir()):
        raise StageFailed(f"{job.script.name} succeeded but wrote no model into SM_MODEL_DIR.", CONTINUE)
    digest = pack(job.model_folder, job.output / PACKAGE)
    unsafe = pickles(path.relative_to(job.model_folder).as_posix() for path in job.model_folder.rglob("*"))
    remove_tree(job.model_folder)
    return StageResult(output=digest, detail={**_detail(job.data_folder / "metrics.json"), **unsafe})


def _processing_output(job: ScriptJob) -> StageResult:
    links = [path for path in (job.output, *job.output.rglob("*")) if path.is_symlink()]
    if links:
        raise StageFailed(f"{links[0]} is a link: its target would not be saved.", "Copy it, then: mlops run")
    if not any(job.output.iterdir()):
        raise StageFailed(f"{job.script.name} succeeded but wrote nothing into --output-dir.", CONTINUE)
    return StageResult(output=digest_folder(job.output), detail=_detail(job.output / "profile.json"))


def _detail(path: Path) -> dict[str, Any]:
    """Return the script's optional JSON file about its output."""
    if not path.is_file():
        return {}
    try:
        return parse_json_output(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StageFailed(f"{path.name} is not valid JSON: {error}.", CONTINUE) from None
