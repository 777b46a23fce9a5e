"""The records of steps in S3: runs as far as the steps know them, and finished stages by cache key.

::

    runs/ID/run.json                 the stages of one run, by the steps that run the repository's code
    decisions/ID/run.json            the same by the deciding steps: they take precedence
    records/STAGE/KEY.json           the newest finished execution of a stage with this key: a job or a deployment
    records/STAGE/latest.json        the newest finished execution of a stage with any key
    records/approval/MODEL/ID.json   the request of run ID for a decision about this model

The repository's code cannot write below decisions/, nor the records of the stages in ``DECIDED``. The steps of all runs
may write below runs/. So a step reads only the version that the step before it in the same run has named (``named``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.models.model_versions import ROLLED_BACK_TO
from mlops_cli.core.runs import Run, StageRun, Status, run_from, stage_run_from
from mlops_cli.core.stages import APPROVAL, DEPLOYMENT, ENDPOINT_GATE, STAGES, TRAINING, Kind, position, stage_named

RUN = "run.json"
LATEST = "latest"
STEPS, DECISIONS = "runs", "decisions"
# Stages with security-relevant outputs: a model, the request for its approval, the live model.
DECIDED = (TRAINING.name, APPROVAL.name, DEPLOYMENT.name)


class S3RunStore:
    """``decides``: for a deciding step, which runs no code of the repository."""

    def __init__(self, bucket: Bucket, decides: bool = False) -> None:
        self.bucket = bucket
        self.decides = decides
        self.saved_version = ""

    def load(self, run_id: str) -> Run | None:
        """Return a run as its steps have recorded it; None before the first step and for unknown ids.

        Before the approval, any step may have written this record: show it, but do not rely on it.
        """
        recorded, decided = self._load(STEPS, run_id), self._load(DECISIONS, run_id)
        if decided is None:
            return _without_approval(recorded) if recorded else None
        is_verified = decided.endpoint_gate.status in (Status.DONE, Status.REUSED, Status.FAILED)
        return _with_gate_of(recorded, decided) if recorded and not is_verified else decided

    def named(self, run_id: str, version: str) -> Run | None:
        """Return a run as its own steps have recorded it, in the version named by its last step, with the decisions."""
        recorded = self._load(STEPS, run_id, version) if version else None
        decided = self._load(DECISIONS, run_id)
        if decided is None:
            return _without_approval(recorded) if recorded else None
        return _with_gate_of(recorded, decided) if recorded else decided

    def verified(self, run_id: str) -> Run | None:
        """Return a run as the deciding steps have recorded it. They have verified where its model comes from."""
        return self._load(DECISIONS, run_id)

    def _load(self, folder: str, run_id: str, version: str = "") -> Run | None:
        """Return the record, with the run id of its key: the ids in the record are not trusted.

        The repository's code may write below ``STEPS``. An invalid record there counts as missing.
        """
        try:
            values = self.bucket.get_json(f"{folder}/{run_id}/{RUN}", version)
            run = None if values is None else run_from(values)
        except (ValueError, KeyError, TypeError, AttributeError):
            if folder != STEPS:
                raise
            run = None
        if run is None or [stage.name for stage in run.stages] != [stage.name for stage in STAGES]:
            return None
        return replace(run, id=run_id, stages=[replace(stage, run_id=run_id) for stage in run.stages])

    def recorded_decision(self, run_id: str) -> Decision | None:
        """Return the decision about a run that a deciding step has recorded. No step runs after a rejection."""
        run = self.verified(run_id)
        return run.decision if run else None

    def save(self, run: Run) -> None:
        key = f"{DECISIONS if self.decides else STEPS}/{run.id}/{RUN}"
        self.saved_version = self.bucket.put_json(key, asdict(run))

    def runs(self) -> Iterator[Run]:
        """Yield the runs that have reached the approval, as the deciding steps have recorded them, the newest first.

        Only these records say which models exist, which one was live when, and which one a rollback restores.
        """
        yield from filter(None, map(self.verified, self._ids(DECISIONS)))

    def recorded_runs(self) -> Iterator[Run]:
        """Yield every run that ``load`` can read, the last written first."""
        yield from filter(None, map(self.load, self._ids(STEPS)))

    def _ids(self, folder: str) -> list[str]:
        items = [item for item in self.bucket.list_objects(f"{folder}/") if item.key.endswith(f"/{RUN}")]
        return [item.key.split("/")[-2] for item in sorted(items, key=lambda item: item.modified, reverse=True)]

    def save_stage(self, stage: StageRun) -> None:
        """Save a finished stage for later runs, if this step may write there. A reused stage is not saved again.

        A gate is not saved by its key, because its result counts in no other run. An approval is found by its model
        instead. The next execution compares its inputs with those of the newest one.
        """
        if (stage.name in DECIDED) is not self.decides:
            return
        is_latest_alone = stage.status is Status.REUSED or stage_named(stage.name).kind in (Kind.GATE, Kind.APPROVAL)
        for name in (LATEST,) if is_latest_alone else (stage.key, LATEST):
            self.bucket.put_json(f"records/{stage.name}/{name}.json", asdict(stage))

    def find_stage(self, stage: str, key: str) -> StageRun | None:
        """Return the newest finished execution of a stage with this key."""
        values = self.bucket.get_json(f"records/{stage}/{key}.json")
        return None if values is None else stage_run_from(values)

    def latest_stage(self, stage: str) -> StageRun | None:
        """Return the newest finished execution of a stage with any key."""
        return self.find_stage(stage, LATEST)

    def save_approval_request(self, gate: StageRun) -> None:
        """Save a run's request for a decision about a model. CodePipeline stores the answer."""
        self.bucket.put_json(f"records/approval/{gate.output}/{gate.run_id}.json", asdict(gate))

    def approval_requests(self, model_digest: str) -> list[StageRun]:
        """Return every request for a decision about a model, the newest first."""
        items = sorted(
            self.bucket.list_objects(f"records/approval/{model_digest}/"), key=lambda item: item.modified, reverse=True
        )
        documents = (self.bucket.get_json(item.key) for item in items)
        return [stage_run_from(values) for values in documents if values]


def needs_verified(start: str) -> bool:
    """Return True if a run that begins at this stage copies a model that a deciding step must have verified."""
    return position(start) > position(TRAINING.name)


def _with_gate_of(recorded: Run, decided: Run) -> Run:
    """Return the decided run with the last gate as recorded: only this stage comes after the deciding steps."""
    if ROLLED_BACK_TO not in decided.endpoint_gate.detail:
        gate = recorded.endpoint_gate
        detail = {name: value for name, value in gate.detail.items() if name != ROLLED_BACK_TO}
        decided.stages[position(ENDPOINT_GATE.name)] = replace(gate, detail=detail)
    return decided


def _without_approval(run: Run) -> Run:
    """Return a run without approval and deployment, because no deciding step has recorded them.

    Stages copied from another run stay: the approval's step verifies them.
    """
    for name in (APPROVAL.name, DEPLOYMENT.name):
        stage, taken_over = run.stage(name), run.forced_from and position(name) < position(run.forced_from)
        if taken_over and stage.status is Status.DONE:
            stage.status = Status.REUSED
        elif not taken_over:
            run.stages[position(name)] = StageRun(name, run_id=run.id)
    return run
