"""Start a run: do nothing, follow the running one, retry a stage, or start an execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.clients.codepipeline import FAILED, IN_PROGRESS, Execution, Revision
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.pipeline_variables import (
    LENGTH,
    NO_ROLLBACK,
    NO_STAGE,
    RECORD,
    decode_start,
    encode,
    encode_start,
    readable,
)
from mlops_cli.backends.aws.runs.queries import RunQueries
from mlops_cli.backends.aws.runs.status import OUTDATED
from mlops_cli.backends.aws.runs.store import needs_verified
from mlops_cli.core.cache_inputs import THE_DATA
from mlops_cli.core.models.model_versions import OVERTAKEN, ROLLED_BACK_TO
from mlops_cli.core.runs import (
    CONTINUABLE,
    Run,
    RunRequest,
    Status,
    earlier_stages_missing_error,
    has_all_before,
)
from mlops_cli.core.stages import APPROVAL, position
from mlops_cli.errors import EXIT_REJECTED, ConfigurationError, MlopsError
from mlops_cli.files.hashing import digest_bytes


@dataclass(frozen=True)
class StartRequest:
    """The inputs of a run: the project's revision, the data, and the options.

    ``source``: the run to copy the earlier stages from. ``record``: the version of that run's record. ``rollback``: the
    pipeline variable of that name.
    """

    revision: Revision
    data: str
    request: RunRequest
    source: str = ""
    record: str = ""
    rollback: str = NO_ROLLBACK

    @property
    def variables(self) -> dict[str, str]:
        overrides = encode(self.request.overrides)
        if len(overrides) > LENGTH:
            raise ConfigurationError(
                "These are too many overrides for a pipeline variable.", "Write them into usecase.toml."
            )
        force = str(self.request.force).lower()
        start = encode_start(self.request.from_stage, self.source, self.record)
        return {"overrides": overrides, "from": start, "force": force, "rollback": self.rollback}


@dataclass(frozen=True)
class LatestExecution:
    execution: Execution
    run: Run
    variables: dict[str, str]

    @property
    def overrides(self) -> dict[str, str] | None:
        """Return the overrides; None if they are unreadable, and so different from those of every other run."""
        return readable(self.variables.get("overrides", encode({})))


class RunStarter:
    """``live_digest``: returns the digest of the endpoint's model."""

    def __init__(self, runs: RunQueries, decisions: ApprovalHistory, live_digest: Callable[[], str]) -> None:
        self._runs = runs
        self._pipeline = runs.pipeline
        self._decisions = decisions
        self._live_digest = live_digest

    def start(self, start_request: StartRequest, before: Callable[[], None] = lambda: None) -> tuple[str, bool]:
        """Return the id of the run to follow. The bool is False if nothing has changed since that run.

        ``before`` is called before anything is started or deployed.
        """
        if start_request.request.from_stage:
            source = self._source_of(start_request.request.from_stage)
            start_request = replace(start_request, source=source, record=self._record_of(source))
        latest = self._latest()
        if latest is None:
            before()
            return self._start_execution(start_request, ""), True
        if latest.run.status in CONTINUABLE:
            remembered = {**(latest.overrides or {}), **start_request.request.overrides}
            start_request = replace(start_request, request=replace(start_request.request, overrides=remembered))
        if self._is_under_way(latest, start_request):
            return latest.execution.id, latest.run.status is not Status.WAITING or self._forward_approval(
                latest.run, before
            )
        if self._nothing_changed(latest, start_request):
            return latest.execution.id, False
        before()
        if latest.execution.status == IN_PROGRESS and latest.run.status is Status.INTERRUPTED:
            self._pipeline.stop(latest.execution.id, OUTDATED)
        if self._retry(latest, start_request):
            return latest.execution.id, True
        return self._start_execution(start_request, f"{latest.execution.id} {latest.execution.status}"), True

    def start_rollback(self, start_request: StartRequest) -> str:
        """Start the execution of a rollback and return its id."""
        latest = next(self._pipeline.executions(), None)
        return self._start_execution(start_request, f"{latest.id} {latest.status}" if latest else "")

    def _latest(self) -> LatestExecution | None:
        execution = next(self._pipeline.executions(), None)
        if execution is None:
            return None
        execution = self._pipeline.with_revision(execution)
        return LatestExecution(execution, self._runs.load(execution), self._pipeline.variables(execution.id))

    def _record_of(self, run_id: str) -> str:
        """Return the version of the run's record that its last finished step has exported."""
        actions = reversed(self._pipeline.actions(run_id))
        return next((action.variables[RECORD] for action in actions if action.variables.get(RECORD)), "")

    def _source_of(self, stage: str) -> str:
        """Return the newest run that has all stages before this one. Raise MlopsError if there is none."""
        store = self._runs.run_store
        runs = store.runs() if needs_verified(stage) else store.recorded_runs()
        source = next((run for run in runs if has_all_before(stage, run)), None)
        if source is None:
            raise earlier_stages_missing_error(stage)
        gate = source.approval
        if position(stage) > position(APPROVAL.name) and self._decisions.approval(gate.output, gate.key) is None:
            raise MlopsError(
                f"The model of run {source.id} was rejected after it had been approved.",
                "Approve another one: mlops run",
                EXIT_REJECTED,
            )
        return source.id

    def _is_under_way(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Return True if the requested run is already in progress, perhaps because a killed command has started it."""
        going_on = latest.run.status in (Status.RUNNING, Status.WAITING)
        is_explicit = start_request.request.from_stage or start_request.request.force
        same = (
            _without_source(latest.variables) == _without_source(start_request.variables)
            if is_explicit
            else latest.overrides == start_request.request.overrides
        )
        return going_on and same and self._is_same_source(latest, start_request)

    def _forward_approval(self, run: Run, before: Callable[[], None]) -> bool:
        """Forward an existing approval to a waiting run; return True if there is one."""
        if self._runs.existing_approval(run) is None:
            return False
        before()
        self._runs.forward_existing_approval(run)
        self._runs.wait_for_status_change(run.id, Status.WAITING)
        return True

    def _is_same_source(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Return True if a run has the same project and data.

        A run that has not begun yet will use the present data.
        """
        data = latest.run.preparation.cache_inputs.get(THE_DATA, start_request.data)
        return latest.execution.revision == start_request.revision.value and data == start_request.data

    def _nothing_changed(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Return True if a new run would only repeat the last run, which succeeded and is live."""
        if (
            start_request.request.from_stage
            or start_request.request.force
            or latest.variables.get("from", NO_STAGE) != NO_STAGE
        ):
            return False
        same = latest.overrides == start_request.request.overrides and self._is_same_source(latest, start_request)
        done = latest.run.status is Status.DONE
        return done and same and self._live_digest() == latest.run.deployment.output

    def _retry(self, latest: LatestExecution, start_request: StartRequest) -> bool:
        """Retry a failed run at the failed stage, if it has the requested inputs and was not rolled back.

        A rollback that another deployment has overtaken would be refused again.
        """
        if latest.run.status is not Status.FAILED or start_request.request.from_stage or start_request.request.force:
            return False
        if ROLLED_BACK_TO in latest.run.endpoint_gate.detail or OVERTAKEN in latest.run.deployment.detail:
            return False
        same = latest.overrides == start_request.request.overrides and self._is_same_source(latest, start_request)
        # The stage where CodePipeline stopped. The step of the next stage may have failed because of this stage's
        # result.
        failed = [action.stage for action in self._pipeline.actions(latest.execution.id) if action.status == FAILED]
        if not (same and failed):
            return False
        self._runs.clear_endpoint_stack()
        if not self._pipeline.retry(latest.execution.id, failed[-1]):
            return False
        self._runs.wait_for_status_change(latest.execution.id, Status.FAILED)
        return True

    def _start_execution(self, start_request: StartRequest, after: str) -> str:
        """Start an execution. If the response is lost, a repeated request with the same token starts no second one."""
        self._runs.clear_endpoint_stack()
        words = [start_request.revision.value, start_request.data, *start_request.variables.values(), after]
        token = digest_bytes(" ".join(words).encode())
        return self._pipeline.start(start_request.variables, start_request.revision, token)


def _without_source(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without the run to copy from: the newest run with these stages may be the same one."""
    return {**variables, "from": decode_start(variables.get("from", NO_STAGE))[0]}
