"""Runs as they are seen from outside: found, listed, followed, with their logs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from mlops_cli.backends.aws.clients.codepipeline import SUCCEEDED, SUPERSEDED_BY, ActionRun, Execution, Pipeline
from mlops_cli.backends.aws.clients.logs import Logs, build_log
from mlops_cli.backends.aws.runs.approval_summary import forwarded, summary_of
from mlops_cli.backends.aws.runs.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.failure_reason import FailureExplainer
from mlops_cli.backends.aws.runs.pipeline_variables import decode, encode
from mlops_cli.backends.aws.runs.status import APPROVAL, COMMAND, DECISION, ENDPOINT, JOB, build_run, latest_attempt
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.run_follower import PollInterval, follow
from mlops_cli.core.engine import RunView, StageFailed
from mlops_cli.core.model_versions import FIRST_STAGE, LAST_GATE, ROLLED_BACK_TO
from mlops_cli.core.runs import (
    ALREADY_APPROVED,
    Run,
    StageRun,
    Status,
    continue_hint,
    find_run,
    new_run,
    not_waiting_error,
    superseded_error,
)
from mlops_cli.core.stages import position
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError

MAX_THREADS = 8
SHORTEST, LONGEST = 0.5, 5.0
MOVING_SECONDS = 30.0
AGENT = re.compile(r"^\[Container\] \S+ \S+ ")
OWN = re.compile(r"^\d\d:\d\d:\d\d  ")


class RunQueries:
    def __init__(
        self, pipeline: Pipeline, records: S3RunStore, decisions: ApprovalHistory, reasons: FailureExplainer, logs: Logs
    ) -> None:
        self.pipeline = pipeline
        self.run_store = records
        self._approvals = decisions
        self._reasons = reasons
        self._logs = logs

    def list_runs(self) -> list[Run]:
        with ThreadPoolExecutor(MAX_THREADS) as pool:
            return list(pool.map(self._summary, self.pipeline.executions()))

    def _summary(self, execution: Execution) -> Run:
        return build_run(execution, self.run_store.load(execution.id), self.pipeline.actions(execution.id))

    def get(self, prefix: str = "") -> Run:
        """The run whose id starts with ``prefix``, or the newest, with the reason of its failure looked up."""
        executions = list(self.pipeline.executions())
        match = find_run([new_run(execution.id, {}) for execution in executions], prefix)
        return self._with_existing_approval(
            self.load(next(execution for execution in executions if execution.id == match.id))
        )

    def load(self, execution: Execution) -> Run:
        record, actions = self.run_store.load(execution.id), self.pipeline.actions(execution.id)
        run = self._reasons.explain(build_run(execution, record, actions), record, actions)
        if record is None:
            run.overrides = decode(self.pipeline.variables(execution.id).get("overrides", encode({})))
        stages = [replace(stage, log=log_of(stage, actions)) for stage in run.stages]
        return self._with_queue_reason(replace(run, stages=stages))

    def _with_queue_reason(self, run: Run) -> Run:
        """A run that waits for another one to leave the stage before which it stands says so."""
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
        """A run as it stands now; one that CodePipeline has only just been asked for may not be listed yet."""
        execution = next((candidate for candidate in self.pipeline.executions() if candidate.id == run_id), None)
        return self.load(execution or Execution(run_id, "InProgress", time.time()))

    def follow(
        self,
        run_id: str,
        view: RunView,
        ours: bool = False,
        seen: Run | None = None,
        saying: str = "",
        resume_command: str = "",
    ) -> Run:
        """Show a run until it rests; one that we have started (``ours``) does not queue behind a forgotten one.

        Only for such a one is an approval that holds passed on, with the summary ``saying``: who watches decides
        nothing. Raises MlopsError on Ctrl-C: the run goes on, and ``again`` is the command that returns to it, if that
        is more than to watch.
        """

        def look() -> Run:
            run = self.refresh(run_id)
            return (
                self._stop_superseded(self.forward_existing_approval(run, saying))
                if ours
                else self._with_existing_approval(run)
            )

        try:
            return follow(look, self._log_lines, view, PollInterval(SHORTEST, LONGEST), seen)
        except KeyboardInterrupt:
            raise MlopsError(
                f"Run {run_id} goes on on AWS; nothing was stopped.",
                f"Return to it: {resume_command or f'mlops status {run_id} --follow'}. Or end it: mlops stop {run_id}",
                EXIT_INTERRUPTED,
            ) from None

    def _log_lines(self, _: Run, stage: StageRun) -> list[str]:
        """What a running stage has written, without what CodeBuild and the step put before it or say themselves."""
        return [AGENT.sub("", line) for line in self._logs.new_lines(stage.log) if not OWN.match(line)]

    def existing_approval(self, run: Run) -> StageRun | None:
        """The approval of the same model in an earlier run, if that holds for this one, which waits."""
        gate = self._reused_approval(run)
        return self._approvals.approval(gate.output, gate.key) if gate else None

    def _reused_approval(self, run: Run) -> StageRun | None:
        record = self.run_store.load(run.id) if run.status is Status.WAITING else None
        gate = record.stage(APPROVAL.name) if record else None
        return gate if gate and gate.status is Status.REUSED else None

    def forward_existing_approval(self, run: Run, saying: str = "") -> Run:
        """Tell the pipeline of an approval that holds, and which it is; a run without one is left as it is."""
        gate = self._reused_approval(run)
        standing = self._approvals.latest_approval(gate.output, gate.key) if gate else None
        if standing is None:
            return run
        token = self.pipeline.token(run.id, APPROVAL.name, DECISION)
        if token:
            summary = saying or summary_of(*forwarded(standing[0]))
            self.pipeline.decide(APPROVAL.name, DECISION, True, summary, token)
        return replace(run, status=Status.RUNNING, stages=_with_approval(run, status=Status.REUSED))

    def _with_existing_approval(self, run: Run) -> Run:
        """A run that waits although the decision about its model is made says so."""
        earlier = self.existing_approval(run)
        return (
            replace(run, stages=_with_approval(run, reason=f"{ALREADY_APPROVED}, {earlier.reason}")) if earlier else run
        )

    def deployed(self) -> str:
        """The digest of the model that was deployed last, brought back or not; empty when none was.

        That a deployment has come to its end is CodePipeline's to say, of which model it was the deciding steps'.
        """
        for execution in self.pipeline.executions():
            done = [one for one in self.pipeline.actions(execution.id) if one.name == ENDPOINT]
            stages = {one.stage for one in done if one.status == SUCCEEDED}
            record = self.run_store.load(execution.id) if stages else None
            if record:
                returned = record.stage(LAST_GATE).detail.get(ROLLED_BACK_TO)
                return str(returned["digest"] if returned and LAST_GATE in stages else record.stage(FIRST_STAGE).output)
        return ""

    def _stop_superseded(self, run: Run) -> Run:
        """Once a run stands before the gate, nobody can approve what waits there before it.

        A run that has taken its approval over stands there, too, though its next own stage is a later one.
        """
        at = run.current
        if at is None or position(at.name) < position(APPROVAL.name) or at.status is not Status.PENDING:
            return run
        holder = self.pipeline.holder(run.id, APPROVAL.name)
        if holder and self.pipeline.token(holder, APPROVAL.name, DECISION):
            self.pipeline.stop(holder, f"{SUPERSEDED_BY}{run.id}")
        return run

    def wait_for_status_change(self, run_id: str, status: Status) -> None:
        """Wait until a run that we have just moved on is seen to have left a status: CodePipeline takes its time."""
        deadline = time.monotonic() + MOVING_SECONDS
        while time.monotonic() < deadline and self.refresh(run_id).status is status:
            time.sleep(SHORTEST)

    def read_log(self, run: Run, stage: str, follow_it: bool) -> Iterator[str]:
        """The lines of a stage's log; with ``follow_it``, until the stage has ended."""
        logs = Logs(self._logs.client)
        while True:
            at = self.refresh(run.id).stage(stage)
            yield from logs.new_lines(at.log)
            if not follow_it or at.status is not Status.RUNNING:
                return
            time.sleep(SHORTEST)


def _with_approval(run: Run, **changes: Any) -> list[StageRun]:
    return [replace(stage, **changes) if stage.name == APPROVAL.name else stage for stage in run.stages]


def log_of(stage: StageRun, actions: list[ActionRun]) -> str:
    """Where the log of a stage lies: of its job if it came to one, else of its command step."""
    attempt = latest_attempt(stage.name, actions)
    builds = [action.external for action in attempt if action.name == COMMAND]
    began = any(action.name == JOB and action.external for action in attempt)
    if stage.status is Status.REUSED or began or not builds:
        return stage.log
    return build_log(builds[-1])


def raise_for_status(run: Run) -> Run:
    """A run that went on to its end or to the gate; raises what it ended with otherwise."""
    at = run.current
    if run.status is Status.FAILED:
        raise StageFailed(at.reason if at else "It failed.", continue_hint(run))
    if run.status is Status.REJECTED:
        raise not_waiting_error(run)
    if run.status is Status.SUPERSEDED:
        raise superseded_error(run, "")
    if run.status is Status.INTERRUPTED:
        raise MlopsError(f"Run {run.id} was stopped.", "Start a new one: mlops run")
    return run
