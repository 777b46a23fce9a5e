"""What there is to see of a run before a decision, on this machine: comparison, evidence, report."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_cli.approval import standing_decision
from mlops_cli.backends.appraisal import INSTANCES, PREDICTIONS, Pair, Tell, Written, compared, page, quiet
from mlops_cli.backends.base import Answer
from mlops_cli.backends.local.endpoint import LocalEndpoint
from mlops_cli.backends.local.store import Store
from mlops_cli.comparison import Comparison
from mlops_cli.errors import MlopsError
from mlops_cli.evidence import Evidence, make_evidence
from mlops_cli.files import read_json, write_whole
from mlops_cli.project import Project
from mlops_cli.registry import ModelVersion, deployed_version, versions_of
from mlops_cli.runs import Run, StageRun
from mlops_cli.usecase import UseCase


@dataclass(frozen=True)
class Appraisal:
    """Of the runs of one project, against what its endpoint serves."""

    project: Project
    use_case: UseCase
    store: Store
    server: LocalEndpoint

    def shortfalls(self, run: Run, against_live: bool = True) -> list[str]:
        """What the model of a run falls short of now; a rollback need not be better than what it goes away from."""
        metrics = self.use_case.metrics
        if metrics.must_beat_live and against_live:
            return self.evidence(run).shortfalls
        return make_evidence(run, replace(metrics, must_beat_live=False), {}, None, None).shortfalls

    def deployed(self) -> ModelVersion | None:
        """The model that is deployed, by the record."""
        served = self.server.status().model_digest or ""
        return deployed_version(versions_of(self.store.runs(), self.store.decisions(), served))

    def evidence(self, run: Run, tell: Tell = quiet) -> Evidence:
        deployed = self.deployed()
        live = self.store.made("train", deployed.digest) if deployed else None
        facts = run.stage("preprocess").detail.get("dataset", {})
        model = run.stage("train").output
        earlier = standing_decision(self.store.decisions(), model)
        found = self._comparison(run, live, tell) if live and live.output != model else None
        file = self.report_file(run)
        report = str(file.relative_to(self.project.root)) if file.is_file() else ""
        return make_evidence(run, self.use_case.metrics, facts, live, earlier, found, report)

    def report_file(self, run: Run) -> Path:
        return self.project.runs / run.id / "report.html"

    def write_report(self, run: Run, tell: Tell = quiet) -> Path:
        """Make the run's report from what it recorded; raises MlopsError when it has no model yet."""
        evidence = self.evidence(run, tell)
        live_run = next((one for one in self.store.runs() if one.id == evidence.live_run), None)
        html = page(self.use_case, run, evidence, self._written(run.stage("train")), live_run)
        file = self.report_file(run)
        self._write(file, html)
        return file

    def _write(self, file: Path, text: str) -> None:
        """Write a file of a run without holding the project: a cleanup may be under way, whose work is not undone."""
        try:
            for folder in (self.project.runs, file.parent):
                folder.mkdir(exist_ok=True)
            write_whole(file, text)
        except FileNotFoundError:
            raise MlopsError(
                f"{file} cannot be written: {self.project.state} is being removed.", "Set it up again: mlops quickstart"
            ) from None

    def _comparison(self, run: Run, live: StageRun, tell: Tell) -> Comparison:
        trained = run.stage("train")
        metrics = self.use_case.metrics
        pair = Pair(trained.output, live.output, metrics.primary, metrics.lower_is_better)
        file = self.project.runs / run.id / "comparison.json"
        kept = pair.noted(read_json(file))
        if kept:
            return kept
        found = compared(pair, self._written(trained), self._written(live), self._ask, tell)
        if not found.problem:
            self._write(file, json.dumps(pair.note(found)))
        return found

    def _written(self, trained: StageRun) -> Written:
        folder = self.project.state / trained.artifact / "output"
        files = (folder / name for name in (PREDICTIONS, INSTANCES))
        return Written(*(file.read_bytes() if file.is_file() else None for file in files))

    def _ask(self, body: bytes, content_type: str) -> Answer:
        response = self.server.invoke(body, content_type)
        return Answer(response.status, response.body, response.seconds)
