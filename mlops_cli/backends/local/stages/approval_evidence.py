"""Comparison, evidence and report of a run before its approval, on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.backends.model_evaluation import (
    FILES,
    INSTANCES,
    LARGEST_FILE,
    MOST_FILES,
    PREDICTIONS,
    ModelPair,
    Notify,
    RenderReport,
    TrainingOutputs,
    compare_models,
    no_message,
)
from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.core.models.approval import latest_decision
from mlops_cli.core.models.comparison import Comparison
from mlops_cli.core.models.evidence import Evidence, make_evidence, shortfalls_alone
from mlops_cli.core.models.model_versions import ModelVersion, deployed_version, versions_of
from mlops_cli.core.models.outcome import with_outcome
from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.stages import TRAINING
from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import read_json, write_atomically
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.serving.control import LocalEndpoint


@dataclass(frozen=True)
class ApprovalEvidence:
    """The evidence about runs of one project, and the comparison with its endpoint's model."""

    project: Project
    use_case: UseCase
    store: RunStore
    server: LocalEndpoint
    render_report: RenderReport

    def shortfalls(self, run: Run, against_live: bool = True) -> list[str]:
        """Return the model's present shortfalls. A rollback (not ``against_live``) need not beat the live model."""
        metrics = self.use_case.metrics
        if metrics.must_beat_live and against_live:
            return self.evidence(run).shortfalls
        return shortfalls_alone(run, metrics)

    def deployed(self) -> ModelVersion | None:
        """Return the deployed model by the run store."""
        served = self.server.status().model_digest or ""
        return deployed_version(versions_of(self.store.runs(), self.store.decisions(), served))

    def evidence(self, run: Run, notify: Notify = no_message) -> Evidence:
        deployed = self.deployed()
        live = self.store.find_by_output(TRAINING.name, deployed.digest) if deployed else None
        dataset = run.preparation.detail.get("dataset", {})
        model = run.training.output
        earlier = latest_decision(self.store.decisions(), model)
        comparison = self._comparison(run, live, notify) if live and live.output != model else None
        file = self.report_file(run)
        report = str(file.relative_to(self.project.root)) if file.is_file() else ""
        return make_evidence(run, self.use_case.metrics, dataset, live, earlier, comparison, report)

    def report_file(self, run: Run) -> Path:
        return self.project.runs / run.id / "report.html"

    def write_report(self, run: Run, notify: Notify = no_message) -> Path:
        """Write the run's report from its records. Raise MlopsError if it has no model yet."""
        evidence = self.evidence(run, notify)
        live_run = next((candidate for candidate in self.store.runs() if candidate.id == evidence.live_run), None)
        html = self.render_report(run, evidence, self._training_outputs(run.training), live_run)
        file = self.report_file(run)
        self._write(file, html)
        return file

    def write_outcome(self, run: Run) -> None:
        """Add a sentence to the report of a finished run: its model is live."""
        file = self.report_file(run)
        if file.is_file():
            html = file.read_text(encoding="utf-8")
            finished = with_outcome(html, run)
            if finished != html:
                self._write(file, finished)

    def _write(self, file: Path, text: str) -> None:
        """Write a file of a run without the project's lock. Do not create a folder again that cleanup is removing."""
        try:
            for folder in (self.project.runs, file.parent):
                folder.mkdir(exist_ok=True)
            write_atomically(file, text)
        except FileNotFoundError:
            raise MlopsError(
                f"{file} cannot be written: {self.project.state} is being removed.", "Set it up again: mlops quickstart"
            ) from None

    def _comparison(self, run: Run, live: StageRun, notify: Notify) -> Comparison:
        trained = run.training
        metrics = self.use_case.metrics
        pair = ModelPair(trained.output, live.output, metrics.primary, metrics.lower_is_better)
        file = self.project.runs / run.id / "comparison.json"
        kept = pair.saved_comparison(read_json(file))
        if kept:
            return kept
        comparison = compare_models(
            pair, self._training_outputs(trained), self._training_outputs(live), self._invoke, notify
        )
        if not comparison.problem:
            self._write(file, json.dumps(pair.save_comparison(comparison)))
        return comparison

    def _training_outputs(self, trained: StageRun) -> TrainingOutputs:
        folder = self.project.state / trained.artifact / "output"
        files = (folder / name for name in (PREDICTIONS, INSTANCES))
        predictions, instances = (file.read_bytes() if file.is_file() else None for file in files)
        return TrainingOutputs(predictions, instances, _own_files(folder / FILES))

    def _invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        response = self.server.invoke(body, content_type)
        return InvocationResponse(response.status, response.body, response.seconds)


def _own_files(folder: Path) -> dict[str, bytes | None]:
    """Return the training's own files by their names below the folder. Follow no link."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.stat().st_size <= LARGEST_FILE else None
        for path in paths[:MOST_FILES]
    }
