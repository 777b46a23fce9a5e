"""A person's decision about a run: who may decide when, and how it reaches the pipeline and the model registry."""

from __future__ import annotations

from mlops_cli.backends.aws.registry import Registry
from mlops_cli.backends.aws.runs import Runs
from mlops_cli.backends.aws.standing import DECISION, GATE
from mlops_cli.errors import MlopsError
from mlops_cli.runs import Run, Status, superseded, undecidable


class Decider:
    def __init__(self, runs: Runs, registry: Registry) -> None:
        self._runs = runs
        self._registry = registry

    def check(self, run: Run) -> None:
        """Raises MlopsError, naming the reason and the way out, unless the run waits for a decision."""
        if run.status is Status.WAITING:
            return
        if run.status is Status.SUPERSEDED:
            newer = next(one.id for one in self._runs.pipeline.executions())
            raise superseded(run, newer)
        at = run.current
        if at is not None and at.name == GATE.name and at.reason.startswith("queued"):
            holder = at.reason.rpartition(" ")[2]
            raise MlopsError(
                f"Run {run.id} is {at.reason}, which waits for a decision.",
                f"Decide about that first: mlops approve --run-id {holder} (--reject)",
            )
        raise undecidable(run)

    def decide(self, run_id: str, approved: bool, comment: str) -> None:
        """Tell the registry, then the pipeline: whatever is interrupted in between is repeated by the same command.

        Raises MlopsError when somebody else has decided meanwhile.
        """
        run = self._runs.again(run_id)
        self.check(run)
        record = self._runs.records.load(run_id)
        assert record is not None, "a run that waits has been recorded by its step"
        self._registry.decide(record.stage(GATE.name).detail["package"], approved, comment)
        token = self._runs.pipeline.token(run_id, GATE.name, DECISION)
        if not token or not self._runs.pipeline.decide(GATE.name, DECISION, approved, comment, token):
            self._runs.left(run_id, Status.WAITING)
            self.check(self._runs.again(run_id))
            raise MlopsError("The decision was not taken.", f"Try again: mlops approve --run-id {run_id}")
        self._runs.left(run_id, Status.WAITING)
