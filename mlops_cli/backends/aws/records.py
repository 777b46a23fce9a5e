"""What command steps write down in S3: runs as far as they know them, and finished stages by their cache key.

::

    runs/ID/run.json                 the stages of one run, written anew by each of its steps
    records/STAGE/KEY.json           the newest finished execution of a stage with this key
    records/STAGE/latest.json        the newest finished execution, whatever its key
    records/approval/MODEL/ID.json   that run ID has asked for a decision about this model
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.runs import Run, StageRun, Status, run_of, stage_run_of

RUN = "run.json"
LATEST = "latest"


class Records:
    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def load(self, run_id: str) -> Run | None:
        """A run as its steps have recorded it; None before the first step and for what was never a run."""
        found = self.bucket.get_json(f"runs/{run_id}/{RUN}")
        return None if found is None else run_of(found)

    def save(self, run: Run) -> None:
        self.bucket.put_json(f"runs/{run.id}/{RUN}", asdict(run))

    def runs(self) -> Iterator[Run]:
        """Every recorded run, the one that was written last first."""
        items = [item for item in self.bucket.items("runs/") if item.key.endswith(f"/{RUN}")]
        for item in sorted(items, key=lambda item: item.modified, reverse=True):
            run = self.load(item.key.split("/")[-2])
            if run:
                yield run

    def remember(self, stage: StageRun) -> None:
        """Put a finished stage where later runs look for it; a reused one is no new execution."""
        for name in (LATEST,) if stage.status is Status.REUSED else (stage.key, LATEST):
            self.bucket.put_json(f"records/{stage.name}/{name}.json", asdict(stage))

    def finished(self, stage: str, key: str) -> StageRun | None:
        """The newest finished execution of a stage with this key."""
        found = self.bucket.get_json(f"records/{stage}/{key}.json")
        return None if found is None else stage_run_of(found)

    def latest(self, stage: str) -> StageRun | None:
        """The newest finished execution of a stage, whatever its key."""
        return self.finished(stage, LATEST)

    def note_asked(self, gate: StageRun) -> None:
        """That a run asks for a decision about a model; what came of it is CodePipeline's to say."""
        self.bucket.put_json(f"records/approval/{gate.output}/{gate.run_id}.json", asdict(gate))

    def asked(self, model_digest: str) -> list[StageRun]:
        """Every time that somebody was asked about a model, the newest first."""
        items = sorted(
            self.bucket.items(f"records/approval/{model_digest}/"), key=lambda item: item.modified, reverse=True
        )
        found = (self.bucket.get_json(item.key) for item in items)
        return [stage_run_of(values) for values in found if values]
