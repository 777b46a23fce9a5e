"""What `mlops run` does about the pipeline: nothing, go along with what is under way, retry a stage, or start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.decisions import Decisions
from mlops_cli.backends.aws.pipeline import FAILED, Execution
from mlops_cli.backends.aws.runs import Runs
from mlops_cli.backends.aws.source import Revision
from mlops_cli.backends.aws.standing import GATE
from mlops_cli.backends.aws.variables import NO_STAGE, decoded, encoded, start_from, start_of
from mlops_cli.digest import digest_bytes
from mlops_cli.errors import EXIT_REJECTED, ConfigurationError, MlopsError
from mlops_cli.registry import LAST_GATE, RETURNED
from mlops_cli.runs import CONTINUABLE, Run, RunRequest, Status, has_all_before, nothing_before
from mlops_cli.stages import position

VARIABLE_LENGTH = 1000


@dataclass(frozen=True)
class Wish:
    """What a run is asked to be made from: the project's state, the data, and the pipeline's variables.

    ``source`` is the run whose stages before the first own one are taken over, the newest that has them if empty.
    """

    revision: Revision
    data: str
    request: RunRequest
    source: str = ""

    @property
    def variables(self) -> dict[str, str]:
        overrides = encoded(self.request.overrides)
        if len(overrides) > VARIABLE_LENGTH:
            raise ConfigurationError(
                "These are more overrides than a pipeline takes.", "Write them into training/usecase.toml."
            )
        force = str(self.request.force).lower()
        return {"overrides": overrides, "from": start_from(self.request.from_stage, self.source), "force": force}


@dataclass(frozen=True)
class Latest:
    execution: Execution
    run: Run
    variables: dict[str, str]

    @property
    def overrides(self) -> dict[str, str]:
        return decoded(self.variables.get("overrides", encoded({})))


class Starter:
    """``live_digest`` asks the endpoint what it serves."""

    def __init__(self, runs: Runs, decisions: Decisions, live_digest: Callable[[], str]) -> None:
        self._runs = runs
        self._pipeline = runs.pipeline
        self._decisions = decisions
        self._live_digest = live_digest

    def start(self, wish: Wish, before: Callable[[], None] = lambda: None) -> tuple[str, bool]:
        """The id of the run to go along with; False when nothing has changed since it.

        ``before`` is called when it is clear that something will be started or deployed.
        """
        if wish.request.from_stage and not wish.source:
            self._check_start(wish.request.from_stage)
        latest = self._latest()
        if latest is None:
            before()
            return self._begin(wish, ""), True
        if latest.run.status in CONTINUABLE:
            remembered = {**latest.overrides, **wish.request.overrides}
            wish = replace(wish, request=replace(wish.request, overrides=remembered))
        if self._goes_on(latest, wish):
            return latest.execution.id, latest.run.status is not Status.WAITING or self._passed_on(latest.run, before)
        if self._nothing_changed(latest, wish):
            return latest.execution.id, False
        before()
        if self._retried(latest, wish):
            return latest.execution.id, True
        return self._begin(wish, f"{latest.execution.id} {latest.execution.status}"), True

    def _latest(self) -> Latest | None:
        execution = next(self._pipeline.executions(), None)
        if execution is None:
            return None
        return Latest(execution, self._runs.look(execution), self._pipeline.variables(execution.id))

    def _check_start(self, stage: str) -> None:
        """Raises MlopsError when a run from this stage on could not have what comes before."""
        source = next((run for run in self._runs.records.runs() if has_all_before(stage, run)), None)
        if source is None:
            raise nothing_before(stage)
        gate = source.stage(GATE.name)
        if position(stage) > position(GATE.name) and self._decisions.approval(gate.output, gate.key) is None:
            raise MlopsError(
                f"The model of run {source.id} was rejected after it had been approved.",
                "Approve another one: mlops run",
                EXIT_REJECTED,
            )

    def _goes_on(self, latest: Latest, wish: Wish) -> bool:
        """Whether what is asked for is under way: the command that started it may have been killed."""
        going_on = latest.run.status in (Status.RUNNING, Status.WAITING)
        if wish.source == latest.execution.id:
            # A rollback's own run has the approved model, too, as soon as it has taken it over.
            wish = replace(wish, source=start_of(latest.variables.get("from", NO_STAGE))[1])
        asked = wish.request.from_stage or wish.request.force
        same = latest.variables == wish.variables if asked else latest.overrides == wish.request.overrides
        return going_on and same and self._same(latest, wish)

    def _passed_on(self, run: Run, before: Callable[[], None]) -> bool:
        """Whether a run that waits goes on, since the decision about its model is made: nobody had told it."""
        if self._runs.held(run) is None:
            return False
        before()
        self._runs.pass_on(run)
        self._runs.left(run.id, Status.WAITING)
        return True

    def _same(self, latest: Latest, wish: Wish) -> bool:
        """Whether a run is made from the same project and data; one that has not begun yet takes what there is."""
        data = latest.run.stage("preprocess").ingredients.get("the data", wish.data)
        return latest.execution.revision == wish.revision.value and data == wish.data

    def _nothing_changed(self, latest: Latest, wish: Wish) -> bool:
        """Whether a new run would only repeat the last one, which is done and whose model is live."""
        if wish.request.from_stage or wish.request.force or latest.variables.get("from", NO_STAGE) != NO_STAGE:
            return False
        same = latest.overrides == wish.request.overrides and self._same(latest, wish)
        done = latest.run.status is Status.DONE
        return done and same and self._live_digest() == latest.run.stage("deploy").output

    def _retried(self, latest: Latest, wish: Wish) -> bool:
        """Go on with a failed run where it failed, if it is still about what is asked for and not rolled back."""
        if latest.run.status is not Status.FAILED or wish.request.from_stage or wish.request.force:
            return False
        if RETURNED in latest.run.stage(LAST_GATE).detail:
            return False
        same = latest.overrides == wish.request.overrides and self._same(latest, wish)
        # Where CodePipeline stopped: a result that was found wanting is that of an earlier stage.
        failed = [one.stage for one in self._pipeline.actions(latest.execution.id) if one.status == FAILED]
        if not (same and failed and self._pipeline.retry(latest.execution.id, failed[-1])):
            return False
        self._runs.left(latest.execution.id, Status.FAILED)
        return True

    def _begin(self, wish: Wish, after: str) -> str:
        """Start; the same wish after the same run is the same start, should the answer to the first get lost."""
        words = [wish.revision.value, wish.data, *wish.variables.values(), after]
        token = digest_bytes(" ".join(words).encode())
        return self._pipeline.start(wish.variables, wish.revision, token)
