"""What `mlops run` does about the pipeline: nothing, go along with what is under way, retry a stage, or start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.clients.codepipeline import FAILED, Execution, Revision
from mlops_cli.backends.aws.runs.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.pipeline_variables import NO_STAGE, decode, decode_start, encode, encode_start
from mlops_cli.backends.aws.runs.queries import RunQueries
from mlops_cli.backends.aws.runs.status import APPROVAL
from mlops_cli.core.model_versions import LAST_GATE, ROLLED_BACK_TO
from mlops_cli.core.runs import (
    CONTINUABLE,
    Run,
    RunRequest,
    Status,
    earlier_stages_missing_error,
    has_all_before,
)
from mlops_cli.core.stages import position
from mlops_cli.errors import EXIT_REJECTED, ConfigurationError, MlopsError
from mlops_cli.files.hashing import digest_bytes

VARIABLE_LENGTH = 1000


@dataclass(frozen=True)
class StartRequest:
    """What a run is asked to be made from: the project's state, the data, and the pipeline's variables.

    ``source`` is the run whose stages before the first own one are taken over, the newest that has them if empty.
    """

    revision: Revision
    data: str
    request: RunRequest
    source: str = ""

    @property
    def variables(self) -> dict[str, str]:
        overrides = encode(self.request.overrides)
        if len(overrides) > VARIABLE_LENGTH:
            raise ConfigurationError(
                "These are more overrides than a pipeline takes.", "Write them into training/usecase.toml."
            )
        force = str(self.request.force).lower()
        return {"overrides": overrides, "from": encode_start(self.request.from_stage, self.source), "force": force}


@dataclass(frozen=True)
class LatestExecution:
    execution: Execution
    run: Run
    variables: dict[str, str]

    @property
    def overrides(self) -> dict[str, str]:
        return decode(self.variables.get("overrides", encode({})))


class RunStarter:
    """``live_digest`` asks the endpoint what it serves."""

    def __init__(self, runs: RunQueries, decisions: ApprovalHistory, live_digest: Callable[[], str]) -> None:
        self._runs = runs
        self._pipeline = runs.pipeline
        self._decisions = decisions
        self._live_digest = live_digest

    def start(self, start_request: StartRequest, before: Callable[[], None] = lambda: None) -> tuple[str, bool]:
        """The id of the run to go along with; False when nothing has changed since it.

        ``before`` is called when it is clear that something will be started or deployed.
        """
        if start_request.request.from_stage and not start_request.source:
            self._check_start(start_request.request.from_stage)
        latest = self._latest()
        if latest is None:
            before()
            return self._start_execution(start_request, ""), True
        if latest.run.status in CONTINUABLE:
            remembered = {**latest.overrides, **start_request.request.overrides}
            start_request = replace(start_request, request=replace(start_request.request, overrides=remembered))
        if self._is_under_way(latest, start_request):
            return latest.execution.id, latest.run.status is not Status.WAITING or self._forward_approval(
                latest.run, before
            )
        if self._nothing_changed(latest, start_request):
            return latest.execution.id, False
        before()
        if self._retry(latest, start_request):
            return latest.execution.id, True
        return self._start_execution(start_request, f"{latest.execution.id} {latest.execution.status}"), True

    def _latest(self) -> LatestExecution | None:
        execution = next(self._pipeline.executions(), None)
        if execution is None:
            return None
        return LatestExecution(execution, self._runs.load(execution), self._pipeline.variables(execution.id))

    def _check_start(self, stage: str) -> None:
        """Raises MlopsError when a run from this stage on could not have what comes before."""
        source = next((run for run in self._runs.run_store.runs() if has_all_before(stage, run)), None)
        if source is None:
            raise earlier_stages_missing_error(stage)
        gate = source.stage(APPROVAL.name)
        if position(stage) > position(APPROVAL.name) and self._decisions.approval(gate.output, gate.key) is None:
            raise MlopsError(
                f"The model of run {source.id} was rejected after it had been approved.",
                "Approve another one: mlops run",
                EXIT_REJECTED,
            )

    def _is_under_way(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Whether what is asked for is under way: the command that started it may have been killed."""
        going_on = latest.run.status in (Status.RUNNING, Status.WAITING)
        if start_request.source == latest.execution.id:
            # A rollback's own run has the approved model, too, as soon as it has taken it over.
            start_request = replace(start_request, source=decode_start(latest.variables.get("from", NO_STAGE))[1])
        is_explicit = start_request.request.from_stage or start_request.request.force
        same = (
            latest.variables == start_request.variables
            if is_explicit
            else latest.overrides == start_request.request.overrides
        )
        return going_on and same and self._is_same_source(latest, start_request)

    def _forward_approval(self, run: Run, before: Callable[[], None]) -> bool:
        """Whether a run that waits goes on, since the decision about its model is made: nobody had told it."""
        if self._runs.existing_approval(run) is None:
            return False
        before()
        self._runs.forward_existing_approval(run)
        self._runs.wait_for_status_change(run.id, Status.WAITING)
        return True

    def _is_same_source(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Whether a run is made from the same project and data; one that has not begun yet takes what there is."""
        data = latest.run.stage("preprocess").ingredients.get("the data", start_request.data)
        return latest.execution.revision == start_request.revision.value and data == start_request.data

    def _nothing_changed(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Whether a new run would only repeat the last one, which is done and whose model is live."""
        if (
            start_request.request.from_stage
            or start_request.request.force
            or latest.variables.get("from", NO_STAGE) != NO_STAGE
        ):
            return False
        same = latest.overrides == start_request.request.overrides and self._is_same_source(latest, start_request)
        done = latest.run.status is Status.DONE
        return done and same and self._live_digest() == latest.run.stage("deploy").output

    def _retry(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Go on with a failed run where it failed, if it is still about what is asked for and not rolled back."""
        if latest.run.status is not Status.FAILED or start_request.request.from_stage or start_request.request.force:
            return False
        if ROLLED_BACK_TO in latest.run.stage(LAST_GATE).detail:
            return False
        same = latest.overrides == start_request.request.overrides and self._is_same_source(latest, start_request)
        # Where CodePipeline stopped: a result that was found wanting is that of an earlier stage.
        failed = [action.stage for action in self._pipeline.actions(latest.execution.id) if action.status == FAILED]
        if not (same and failed and self._pipeline.retry(latest.execution.id, failed[-1])):
            return False
        self._runs.wait_for_status_change(latest.execution.id, Status.FAILED)
        return True

    def _start_execution(self, start_request: StartRequest, after: str) -> str:
        """Start; the same wish after the same run is the same start, should the answer to the first get lost."""
        words = [start_request.revision.value, start_request.data, *start_request.variables.values(), after]
        token = digest_bytes(" ".join(words).encode())
        return self._pipeline.start(start_request.variables, start_request.revision, token)
