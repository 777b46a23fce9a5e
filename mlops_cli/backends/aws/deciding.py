"""A person's decision about a run: who may decide when, and how it reaches the pipeline and the model registry."""

from __future__ import annotations

from mlops_cli.backends.aws.registry import Registry
from mlops_cli.backends.aws.runs import Runs
from mlops_cli.backends.aws.standing import DECISION, GATE
from mlops_cli.backends.aws.summary import Facts, summary_of
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
        if at is not None and at.name == GATE.name and at.status is Status.FAILED:
            raise MlopsError(f"Run {run.id} can no longer be decided about: {at.reason}.", "Ask again: mlops run")
        raise undecidable(run)

    def decide(self, seen: Run, approved: bool, comment: str) -> None:
        """Tell the registry, then the pipeline: whatever is interrupted in between is repeated by the same command.

        The decision is about the model of ``seen``, the run as the person saw it. Raises MlopsError when somebody else
        has decided meanwhile.
        """
        run_id, model = seen.id, seen.stage(GATE.name).output
        run = self._runs.again(run_id)
        self.check(run)
        gate = run.stage(GATE.name)
        if gate.output != model:
            raise MlopsError(
                f"Run {run_id} asks about another model by now.", f"Look at it again: mlops approve --run-id {run_id}"
            )
        package = gate.detail["package"]
        self._registry.decide(package, approved, comment)
        token = self._runs.pipeline.token(run_id, GATE.name, DECISION)
        taken = bool(token) and self._runs.pipeline.decide(
            GATE.name, DECISION, approved, summary_of(comment, Facts(model=model)), token
        )
        self._runs.left(run_id, Status.WAITING)
        if not taken:
            self._give_way(self._runs.again(run_id), package)

    def _give_way(self, run: Run, package: str) -> None:
        """Somebody else was first: what they said holds for the package, too."""
        if run.decision:
            self._registry.decide(package, run.decision.approved, run.decision.by)
        self.check(run)
        raise MlopsError("The decision was not taken.", f"Try again: mlops approve --run-id {run.id}")
