"""What there is to see of a run before a decision, on AWS: the approval's step makes it, and puts it into S3.

::

    decisions/ID/comparison.json   this model and the live one on the same test rows
    decisions/ID/evidence.json     what `mlops approve` shows
    decisions/ID/report.html       the same, to be looked at

and the command that starts a run puts surroundings.json beside them: what git says of the project there. The code of
the repository cannot write below decisions/.
"""

from __future__ import annotations

from mlops_cli.backends.appraisal import INSTANCES, PREDICTIONS, Pair, Written, compared, page
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.decisions import Decisions
from mlops_cli.backends.aws.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.records import DECISIONS, Records
from mlops_cli.backends.aws.results import written
from mlops_cli.backends.base import Answer
from mlops_cli.comparison import Comparison
from mlops_cli.errors import MlopsError
from mlops_cli.evidence import Evidence, make_evidence
from mlops_cli.runs import Run, StageRun, Status
from mlops_cli.usecase import UseCase

COMPARISON, EVIDENCE, REPORT = "comparison.json", "evidence.json", "report.html"
SURROUNDINGS = "surroundings.json"
HTML = "text/html; charset=utf-8"


class Appraisal:
    """Of the runs of one site, against what its endpoint serves."""

    def __init__(
        self, use_case: UseCase, bucket: Bucket, records: Records, decisions: Decisions, endpoint: SageMakerEndpoint
    ) -> None:
        self._use_case = use_case
        self._bucket = bucket
        self._records = records
        self._decisions = decisions
        self._endpoint = endpoint

    def evidence(self, run: Run) -> Evidence:
        """What the person who decides about the run's model sees; the comparison is as the step has made it."""
        return self._evidence(run, self._live_run())

    def publish(self, run: Run) -> Evidence:
        """Compare, and put everything where the person who decides finds it."""
        live_run = self._live_run()
        pair = self._pair(run, live_run)
        if pair and live_run:
            trained, live = run.stage("train"), live_run.stage("train")
            found = compared(pair, self._written(trained), self._written(live), self._ask)
            self._bucket.put_json(key_of(run.id, COMPARISON), pair.note(found))
        evidence = self._evidence(run, live_run)
        html = page(self._use_case, run, evidence, self._written(run.stage("train")), live_run)
        self._bucket.put(key_of(run.id, REPORT), html.encode(), HTML)
        self._bucket.put_json(key_of(run.id, EVIDENCE), evidence.to_dict())
        return evidence

    def publish_decision(self, run: Run) -> None:
        """Make the report once more with the decision in it, unless that is done; later it stays what it is.

        What it compares with is what was live when the decision fell: whoever deploys the model does this before.
        """
        key = key_of(run.id, REPORT)
        made = max((item.modified for item in self._bucket.items(key)), default=None)
        if run.decision is None or made is None or made > run.decision.at:
            return
        live_run = self._live_run()
        html = page(self._use_case, run, self._evidence(run, live_run), self._written(run.stage("train")), live_run)
        self._bucket.put(key, html.encode(), HTML)

    def report(self, run: Run) -> str:
        """An address of the report that is good for an hour; raises MlopsError when there is none yet.

        One about a model that was rejected, perhaps in the AWS console, gets the decision here: no step comes after it.
        """
        key = key_of(run.id, REPORT)
        if not self._bucket.exists(key):
            raise MlopsError(f"Run {run.id} has no report: it has not come to the approval.", "See it: mlops status")
        if run.status is Status.REJECTED:
            self.publish_decision(run)
        return self._bucket.link(key)

    def _evidence(self, run: Run, live_run: Run | None) -> Evidence:
        data = run.stage("preprocess").detail.get("dataset", {})
        earlier = next((decision for decision, _ in self._decisions.about(run.stage("train").output)), None)
        live = live_run.stage("train") if live_run else None
        report = self._bucket.uri(key_of(run.id, REPORT))
        return make_evidence(run, self._use_case.metrics, data, live, earlier, self._noted(run, live_run), report)

    def _noted(self, run: Run, live_run: Run | None) -> Comparison | None:
        pair = self._pair(run, live_run)
        if pair is None:
            return None
        found = pair.noted(self._bucket.get_json(key_of(run.id, COMPARISON)))
        return found or Comparison(
            pair.metric, problem="another model has gone live since the run asked for a decision"
        )

    def _pair(self, run: Run, live_run: Run | None) -> Pair | None:
        """What is compared; nothing when nothing is live, or this very model."""
        new, live = run.stage("train").output, live_run.stage("train").output if live_run else ""
        metrics = self._use_case.metrics
        return Pair(new, live, metrics.primary, metrics.lower_is_better) if live not in ("", new) else None

    def _live_run(self) -> Run | None:
        """The run that has made the model that is live now."""
        live = self._endpoint.live()
        source = self._records.load(live.run_id) if live.run_id else None
        return source if source and source.stage("train").output == live.digest else None

    def _written(self, trained: StageRun) -> Written:
        return Written(*written(self._bucket, trained.artifact, PREDICTIONS, INSTANCES))

    def _ask(self, body: bytes, content_type: str) -> Answer:
        return self._endpoint.ask(body, content_type)[0]


def key_of(run_id: str, name: str) -> str:
    """Where in the bucket something about a run lies; the pipeline's template sends people to the report."""
    return f"{DECISIONS}/{run_id}/{name}"
