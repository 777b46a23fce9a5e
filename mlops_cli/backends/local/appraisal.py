"""What there is to see of a run before a decision: the comparison with the live model, the evidence, the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.local.endpoint import LocalEndpoint
from mlops_cli.backends.local.store import Store
from mlops_cli.comparison import Comparison, comparison_from
from mlops_cli.errors import MlopsError
from mlops_cli.evidence import Evidence, make_evidence
from mlops_cli.project import Project
from mlops_cli.runs import Run, StageRun
from mlops_cli.usecase import UseCase

if TYPE_CHECKING:
    from mlops_cli.measures.predictions import Predictions

ASKED_TOGETHER = 100
PREDICTIONS, INSTANCES = "predictions.json", "instances.json"
NO_PREDICTIONS = "the training wrote no predictions.json"
Tell = Callable[[int, int, str], None]


def quiet(done: int, total: int, message: str) -> None:
    """A Tell that shows nothing."""


@dataclass(frozen=True)
class Appraisal:
    """Of the runs of one project, against what its endpoint serves."""

    project: Project
    use_case: UseCase
    store: Store
    server: LocalEndpoint

    def evidence(self, run: Run, tell: Tell = quiet) -> Evidence:
        live = self.store.made("train", self.server.status().model_digest or "-")
        facts = run.stage("preprocess").detail.get("dataset", {})
        model = run.stage("train").output
        earlier = next((said for said in self.store.decisions() if said.model_digest == model), None)
        compared = self._comparison(run, live, tell) if live and live.output != model else None
        page = self.page(run)
        report = str(page.relative_to(self.project.root)) if page.is_file() else ""
        return make_evidence(run, self.use_case.metrics, facts, live, earlier, compared, report)

    def page(self, run: Run) -> Path:
        return self.project.runs / run.id / "report.html"

    def write_report(self, run: Run, tell: Tell = quiet) -> Path:
        """Make the run's report from what it recorded; raises MlopsError when it has no model yet."""
        from mlops_cli.report import gather, report_html

        trained = run.stage("train")
        if not trained.status.settled:
            raise MlopsError(f"Run {run.id} has no model to report about yet.", "Continue it: mlops run")
        evidence = self.evidence(run, tell)
        predictions, instances = (self._written(trained, name) for name in (PREDICTIONS, INSTANCES))
        profile = self._profile(evidence)
        page = self.page(run)
        page.parent.mkdir(parents=True, exist_ok=True)
        draft = page.with_suffix(".partial")
        material = gather(self.use_case, run, evidence, predictions, instances, profile)
        draft.write_text(report_html(material), "utf-8")
        draft.replace(page)
        return page

    def _written(self, trained: StageRun, name: str) -> bytes | None:
        """A file that the training wrote into SM_OUTPUT_DATA_DIR."""
        path = self.project.state / trained.artifact / "output" / name
        return path.read_bytes() if path.is_file() else None

    def _profile(self, evidence: Evidence) -> Mapping[str, Any]:
        """What is known of the data that the live model was trained on."""
        runs = (run for run in self.store.runs() if run.id == evidence.live_run)
        return next((run.stage("preprocess").detail for run in runs), {})

    def _comparison(self, run: Run, live: StageRun, tell: Tell) -> Comparison:
        """Made once for each pair of models: what it rests on never changes."""
        pair = [run.stage("train").output, live.output, self.use_case.metrics.primary]
        file = self.project.runs / run.id / "comparison.json"
        kept = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        if kept.get("pair") == pair:
            return comparison_from(kept["comparison"])
        try:
            found = self._compare(run.stage("train"), live, tell)
        except MlopsError as error:
            return Comparison(self.use_case.metrics.primary, problem=error.message.rstrip("."))
        if not found.problem:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"pair": pair, "comparison": found.to_dict()}), "utf-8")
        return found

    def _compare(self, trained: StageRun, live: StageRun, tell: Tell) -> Comparison:
        from mlops_cli.measures.challenge import compare, unknown_rows, with_answers

        new, old = self._predictions(trained), self._predictions(live)
        if new is None:
            raise MlopsError(NO_PREDICTIONS)
        instances = json.loads(self._written(trained, INSTANCES) or b"[]")
        places = unknown_rows(new, old)
        asked = len(places) if len(instances) == len(new.rows) else 0
        if asked:
            answers = self._answers([instances[place] for place in places], tell)
            old = with_answers(new, old, places, answers)
        if old is None:
            raise MlopsError("the live model's training wrote no predictions.json, nor this one's its instances.json")
        return compare(self.use_case.metrics.primary, new, old, asked)

    def _predictions(self, trained: StageRun) -> Predictions | None:
        from mlops_cli.measures.predictions import read_predictions

        content = self._written(trained, PREDICTIONS)
        return read_predictions(content) if content else None

    def _answers(self, instances: Sequence[Any], tell: Tell) -> list[Mapping[str, Any]]:
        """What the live endpoint says of the rows, some of them at a time."""
        answers: list[Mapping[str, Any]] = []
        for start in range(0, len(instances), ASKED_TOGETHER):
            part = instances[start : start + ASKED_TOGETHER]
            answers += _asked(self.server, part)
            tell(len(answers), len(instances), "test rows asked of the live model")
        return answers


def _asked(server: LocalEndpoint, instances: Sequence[Any]) -> list[Mapping[str, Any]]:
    response = server.invoke(json.dumps({"instances": instances}).encode(), "application/json")
    if response.status != 200:
        raise MlopsError(f"the live endpoint answered {response.status} to the test rows")
    document = json.loads(response.body)
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(predictions, list) or not all(isinstance(one, dict) for one in predictions):
        raise MlopsError("the live endpoint's answers are not one name-to-number object for each row")
    if len(predictions) != len(instances):
        raise MlopsError(f"the live endpoint gave {len(predictions)} answers to {len(instances)} rows")
    return predictions
