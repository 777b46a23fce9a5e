"""Read runs: get, list, follow, and their logs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mlops_cli.backends.aws.clients.codepipeline import (
    IN_PROGRESS,
    SUCCEEDED,
    SUPERSEDED_BY,
    ActionRun,
    Execution,
    Pipeline,
)
from mlops_cli.backends.aws.clients.logs import Logs, build_log
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails, forwarded, summary_of
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.failure_reason import FailureExplainer
from mlops_cli.backends.aws.runs.pipeline_variables import NO_ROLLBACK, decode_rollback, encode, readable
from mlops_cli.backends.aws.runs.status import COMMAND, DECISION, ENDPOINT, JOB, build_run, latest_attempt
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.run_follower import PollInterval, follow
from mlops_cli.core.engine import RunView, StageFailed
from mlops_cli.core.models.model_versions import ROLLED_BACK_TO
from mlops_cli.core.runs import (
    ALREADY_APPROVED,
    HINT,
    Run,
    StageRun,
    Status,
    continue_hint,
    find_run,
    new_run,
    not_waiting_error,
    superseded_error,
)
from mlops_cli.core.stages import APPROVAL, DEPLOYMENT, ENDPOINT_GATE, position
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.processes.parallel import call_in_threads

MAX_THREADS = 8
SHORTEST, LONGEST = 0.5, 5.0
MOVING_SECONDS = 30.0
AGENT = re.compile(r"^\[Container\] \S+ \S+ ")
OWN = re.compile(r"^\d\d:\d\d:\d\d  ")


class RunQueries:
    """``clear_endpoint_stack``: deletes the stack of a failed first deployment, before the next deployment."""

    def __init__(
        self,
        pipeline: Pipeline,
        records: S3RunStore,
        decisions: ApprovalHistory,
        reasons: FailureExplainer,
        logs: Logs,
        clear_endpoint_stack: Callable[[], None],
    ) -> None:
        self.pipeline = pipeline
        self.run_store = records
        self._approvals = decisions
        self._reasons = reasons
        self._logs = logs
        self.clear_endpoint_stack = clear_endpoint_stack

    def list_runs(self) -> list[Run]:
        return call_in_threads(self._summary, self.pipeline.executions(), MAX_THREADS)

    def _summary(self, execution: Execution) -> Run:
        record, actions = self.run_store.load(execution.id), self.pipeline.actions(execution.id)
        return build_run(self._checked(execution, actions), record, actions, self._approvals.load_accepted)

    def _checked(self, execution: Execution, actions: Sequence[ActionRun]) -> Execution:
        """Return the execution, marked if it cannot continue although CodePipeline reports it as in progress."""
        at_work = any(action.status == IN_PROGRESS and action.name != DECISION for action in actions)
        if execution.status != IN_PROGRESS or at_work:
            return execution
        return replace(execution, is_outdated=self.pipeline.is_outdated(actions))

    def get(self, prefix: str = "") -> Run:
        """Return the run with this id prefix, or the newest run, with the reason of its failure."""
        executions = list(self.pipeline.executions())
        match = find_run([new_run(execution.id, {}) for execution in executions], prefix)
        return self._with_existing_approval(
            self.load(next(execution for execution in executions if execution.id == match.id))
        )

    def load(self, execution: Execution) -> Run:
        record, actions = self.run_store.load(execution.id), self.pipeline.actions(execution.id)
        execution = self._checked(execution, actions)
        run = build_run(execution, record, actions, self._approvals.load_accepted)
        run = self._reasons.explain(run, record, actions)
        if record is None:
            run.overrides = readable(self.pipeline.variables(execution.id).get("overrides", encode({}))) or {}
        stages = [replace(stage, log=log_of(stage, actions)) for stage in run.stages]
        return self._with_queue_reason(replace(run, stages=stages))

    def _with_queue_reason(self, run: Run) -> Run:
        """Return the run. If it is queued behind another run, its reason says so."""
        at = run.current
        if at is None or run.status is not Status.RUNNING or at.status is not Status.PENDING:
            return run
        holder = self.pipeline.holder(run.id, at.name)
        if not holder:
            return run
        stages = [
            replace(stage, reason=f"queued behind run {holder}") if stage is at else stage for stage in run.stages
        ]
        return replace(run, stages=stages)

    def refresh(self, run_id: str) -> Run:
        """Return the run's present state. CodePipeline may not list a run yet that it has just accepted."""
        execution = next((candidate for candidate in self.pipeline.executions() if candidate.id == run_id), None)
        return self.load(execution or Execution(run_id, "InProgress", time.time()))

    def follow(
        self,
        run_id: str,
        view: RunView,
        ours: bool = False,
        shown_run: Run | None = None,
        resume_command: str = "",
    ) -> Run:
        """Show a run until it ends or waits for approval. Our own run (``ours``) does not queue behind a forgotten one.

        Only for our own run, an existing approval is forwarded and an older run is stopped; following another run
        decides nothing. Raise MlopsError if a followed run is queued behind one that waits for a decision, because that
        may take days. Raise MlopsError on Ctrl-C: the run continues, and ``resume_command`` (by default `mlops status`)
        follows it again.
        """

        def look() -> Run:
            run = self.refresh(run_id)
            if ours:
                return self._stop_superseded(self.forward_existing_approval(run))
            if holder := self._run_before(run):
                raise queued_error(run, holder)
            return self._with_existing_approval(run)

        try:
            return follow(look, self._log_lines, view, PollInterval(SHORTEST, LONGEST), shown_run)
        except KeyboardInterrupt:
            raise MlopsError(
                f"Run {run_id} continues on AWS; nothing was stopped.",
                f"Return to it: {resume_command or f'mlops status {run_id} --follow'}. Or end it: mlops stop {run_id}",
                EXIT_INTERRUPTED,
            ) from None

    def _log_lines(self, _: Run, stage: StageRun) -> list[str]:
        """Return a running stage's new lines, without CodeBuild's prefixes and the step's own lines."""
        return [AGENT.sub("", line) for line in self._logs.new_lines(stage.log) if not OWN.match(line)]

    def existing_approval(self, run: Run) -> StageRun | None:
        """Return the approval of the same model in an earlier run, if it is valid for this waiting run."""
        gate = self._reused_approval(run)
        return self._approvals.approval(gate.output, gate.key) if gate else None

    def _reused_approval(self, run: Run) -> StageRun | None:
        record = self.run_store.load(run.id) if run.status is Status.WAITING else None
        gate = record.approval if record else None
        return gate if gate and gate.status is Status.REUSED else None

    def rollback_decision(self, run_id: str) -> tuple[str, DecisionDetails] | None:
        """Return the reason and the details with which a rollback was started; None if the run is not a rollback."""
        return decode_rollback(self.pipeline.variables(run_id).get("rollback", NO_ROLLBACK))

    def forward_existing_approval(self, run: Run) -> Run:
        """Send an existing approval and its origin to the pipeline. Without one, return the run unchanged."""
        gate = self._reused_approval(run)
        latest = self._approvals.latest_approval(gate.output, gate.key) if gate else None
        if latest is None:
            return run
        token = self.pipeline.awaited_token(run.id, APPROVAL.name, DECISION)
        if token:
            self.clear_endpoint_stack()
            summary = summary_of(*(self.rollback_decision(run.id) or forwarded(latest[0])))
            self.pipeline.decide(APPROVAL.name, DECISION, True, summary, token)
        return replace(run, status=Status.RUNNING, stages=_with_approval(run, status=Status.REUSED))

    def _with_existing_approval(self, run: Run) -> Run:
        """Return the run. If it waits although its model is already approved, its reason says so."""
        earlier = self.existing_approval(run)
        return (
            replace(run, stages=_with_approval(run, reason=f"{ALREADY_APPROVED}, {earlier.reason}")) if earlier else run
        )

    def deployed(self) -> str:
        """Return the digest of the model that was last deployed or restored; empty if there was none.

        CodePipeline knows that a deployment has finished; the deciding steps have recorded its model. If CodePipeline
        has forgotten all deployments, use the newest recorded one.
        """
        for execution in self.pipeline.executions():
            actions = self.pipeline.actions(execution.id)
            stages = {action.stage for action in actions if action.name == ENDPOINT and action.status == SUCCEEDED}
            record = self.run_store.load(execution.id) if stages else None
            if record:
                returned = record.endpoint_gate.detail.get(ROLLED_BACK_TO)
                return str(
                    returned["digest"] if returned and ENDPOINT_GATE.name in stages else record.deployment.output
                )
        latest = self.run_store.latest_stage(DEPLOYMENT.name)
        return latest.output if latest else ""

    def _stop_superseded(self, run: Run) -> Run:
        """Stop an older run that waits for approval once this run is queued behind it."""
        if holder := self._run_before(run):
            self.pipeline.stop(holder, f"{SUPERSEDED_BY}{run.id}")
        return run

    def _run_before(self, run: Run) -> str:
        """Return the run that waits for a decision and blocks this one; empty if there is none.

        A run that reused its approval is blocked, too, although the next stage that it executes is a later one.
        """
        at = run.current
        if at is None or position(at.name) < position(APPROVAL.name) or at.status is not Status.PENDING:
            return ""
        holder = self.pipeline.holder(run.id, APPROVAL.name)
        waits = holder and (
            self.pipeline.token(holder, APPROVAL.name, DECISION)
            or self.pipeline.is_outdated(self.pipeline.actions(holder))
        )
        return holder if waits else ""

    def wait_for_status_change(self, run_id: str, status: Status) -> None:
        """Wait some seconds, until CodePipeline shows that the run's status has changed."""
        deadline = time.monotonic() + MOVING_SECONDS
        while time.monotonic() < deadline and self.refresh(run_id).status is status:
            time.sleep(SHORTEST)

    def read_log(self, run: Run, stage: str, follow_it: bool) -> Iterator[str]:
        """Yield the lines of a stage's log; with ``follow_it``, until the stage has ended."""
        logs, pace = Logs(self._logs.client), PollInterval(SHORTEST, LONGEST)
        while True:
            at = self.refresh(run.id).stage(stage)
            lines = logs.new_lines(at.log)
            yield from lines
            if not follow_it or at.status is not Status.RUNNING:
                return
            pace.wait(bool(lines))


def _with_approval(run: Run, **changes: Any) -> list[StageRun]:
    return [replace(stage, **changes) if stage.name == APPROVAL.name else stage for stage in run.stages]


def log_of(stage: StageRun, actions: list[ActionRun]) -> str:
    """Return the address of a stage's log: of its job if it has one, else of its step."""
    attempt = latest_attempt(stage.name, actions)
    builds = [action.external for action in attempt if action.name == COMMAND]
    began = any(action.name == JOB and (action.external or action.status == IN_PROGRESS) for action in attempt)
    if stage.status is Status.REUSED or began or not builds:
        return stage.log
    return build_log(builds[-1])


def queued_error(run: Run, holder: str) -> MlopsError:
    return MlopsError(
        f"Run {run.id} is queued behind run {holder}, which waits for a decision.",
        f"Decide on that run first: mlops approve {holder}. Or start a newer run instead: mlops run",
    )


def raise_for_status(run: Run) -> Run:
    """Return a run that has succeeded or waits for approval. Raise the failure of any other run."""
    at = run.current
    if run.status is Status.FAILED:
        hint = at.detail.get(HINT) if at else ""
        raise StageFailed(at.reason if at else "It failed.", hint or continue_hint(run))
    if run.status is Status.REJECTED:
        raise not_waiting_error(run)
    if run.status is Status.SUPERSEDED:
        raise superseded_error(run, "")
    if run.status is Status.INTERRUPTED:
        raise MlopsError(f"Run {run.id} was stopped.", "Start a new one: mlops run")
    return run
