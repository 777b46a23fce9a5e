"""Comparison, evidence and report of a run on AWS: the approval's step writes them to S3.

::

    decisions/ID/comparison.json   this model and the live one on the same test rows
    decisions/ID/evidence.json     the content of `mlops approve`
    decisions/ID/report.html       the same as a page

The command that starts a run writes environment.json beside them: the project's state in git. The repository's code
cannot write below decisions/.
"""

from __future__ import annotations

from mlops_cli.backends.aws.clients.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.store import DECISIONS, S3RunStore
from mlops_cli.backends.aws.stages.jobs.job_outputs import own_files, training_outputs
from mlops_cli.backends.model_evaluation import (
    FILES,
    INSTANCES,
    LARGEST_FILE,
    MOST_FILES,
    PREDICTIONS,
    ModelPair,
    RenderReport,
    TrainingOutputs,
    compare_models,
)
from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.core.models.comparison import Comparison
from mlops_cli.core.models.evidence import Evidence, make_evidence, shortfalls_alone
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.core.models.outcome import with_outcome
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.errors import MlopsError

COMPARISON, EVIDENCE, REPORT = "comparison.json", "evidence.json", "report.html"
ENVIRONMENT = "environment.json"
HTML = "text/html; charset=utf-8"


class ApprovalReport:
    """The evidence about runs, and the comparison with the endpoint's model."""

    def __init__(
        self,
        metrics: Metrics,
        render_report: RenderReport,
        bucket: Bucket,
        records: S3RunStore,
        decisions: ApprovalHistory,
        endpoint: SageMakerEndpoint,
    ) -> None:
        self._metrics = metrics
        self._render_report = render_report
        self._bucket = bucket
        self._records = records
        self._decisions = decisions
        self._endpoint = endpoint

    def evidence(self, run: Run) -> Evidence:
        """Return the evidence for the approver, with the comparison from the approval's step."""
        return self._evidence(run, self._live_run())

    def shortfalls(self, run: Run, against_live: bool) -> list[str]:
        """Return the model's present shortfalls. A rollback (not ``against_live``) need not beat the live model."""
        if self._metrics.must_beat_live and against_live:
            return self.publish(run).shortfalls
        return shortfalls_alone(run, self._metrics)

    def publish(self, run: Run) -> Evidence:
        """Compare the models. Write comparison, evidence and report."""
        live_run = self._live_run()
        pair = self._pair(run, live_run)
        if pair and live_run:
            trained, live = run.training, live_run.training
            comparison = compare_models(
                pair, self._training_outputs(trained), self._training_outputs(live), self._invoke
            )
            self._bucket.put_json(key_of(run.id, COMPARISON), pair.save_comparison(comparison))
        evidence = self._evidence(run, live_run)
        html = self._render_report(run, evidence, self._training_outputs(run.training), live_run)
        self._bucket.put(key_of(run.id, REPORT), html.encode(), HTML)
        self._bucket.put_json(key_of(run.id, EVIDENCE), evidence.to_dict())
        return evidence

    def publish_decision(self, run: Run) -> None:
        """Write the report again, once, with the decision.

        The report compares with the model that was live at the decision, so the deploy step calls this before the
        deployment.
        """
        key = key_of(run.id, REPORT)
        published_at = max((item.modified for item in self._bucket.list_objects(key)), default=None)
        if run.decision is None or published_at is None or published_at > run.decision.at:
            return
        live_run = self._live_run()
        evidence, outputs = self._evidence(run, live_run), self._training_outputs(run.training)
        html = self._render_report(run, evidence, outputs, live_run)
        self._bucket.put(key, html.encode(), HTML)

    def publish_outcome(self, run: Run) -> None:
        """Add a sentence to the report of a finished run: its model is live."""
        key = key_of(run.id, REPORT)
        content = self._bucket.get(key)
        html = content.decode() if content else ""
        finished = with_outcome(html, run)
        if finished != html:
            self._bucket.put(key, finished.encode(), HTML)

    def report(self, run: Run) -> str:
        """Return a URL of the report that is valid for an hour. Raise MlopsError if there is no report yet.

        After a rejection no step runs, so this method adds the decision to the report.
        """
        key = key_of(run.id, REPORT)
        if not self._bucket.exists(key):
            raise MlopsError(f"Run {run.id} has no report: it has not come to the approval.", "Show it: mlops status")
        if run.status is Status.REJECTED:
            self.publish_decision(run)
        return self._bucket.presigned_url(key)

    def _evidence(self, run: Run, live_run: Run | None) -> Evidence:
        data = run.preparation.detail.get("dataset", {})
        earlier = next((decision for decision, _ in self._decisions.for_model(run.training.output)), None)
        live = live_run.training if live_run else None
        report = self._bucket.uri(key_of(run.id, REPORT))
        return make_evidence(run, self._metrics, data, live, earlier, self._saved(run, live_run), report)

    def _saved(self, run: Run, live_run: Run | None) -> Comparison | None:
        pair = self._pair(run, live_run)
        if pair is None:
            return None
        comparison = pair.saved_comparison(self._bucket.get_json(key_of(run.id, COMPARISON)))
        return comparison or Comparison(
            pair.metric, problem="another model has gone live since the run asked for a decision"
        )

    def _pair(self, run: Run, live_run: Run | None) -> ModelPair | None:
        """Return the models to compare; None if no model is live, or this model itself."""
        new, live = run.training.output, live_run.training.output if live_run else ""
        metrics = self._metrics
        return ModelPair(new, live, metrics.primary, metrics.lower_is_better) if live not in ("", new) else None

    def _live_run(self) -> Run | None:
        """Return the run that trained the live model."""
        live = self._endpoint.deployed_model()
        source = self._records.load(live.run_id) if live.run_id else None
        return source if source and source.training.output == live.digest else None

    def _training_outputs(self, trained: StageRun) -> TrainingOutputs:
        predictions, instances = training_outputs(self._bucket, trained, PREDICTIONS, INSTANCES)
        files = own_files(self._bucket, trained, FILES, MOST_FILES, LARGEST_FILE)
        return TrainingOutputs(predictions, instances, files)

    def _invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        return self._endpoint.invoke(body, content_type)[0]


def key_of(run_id: str, name: str) -> str:
    """Return the key of a run's file. The pipeline's template links to the report."""
    return f"{DECISIONS}/{run_id}/{name}"
