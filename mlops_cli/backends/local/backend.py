"""The local target: everything on this machine, under the project's .mlops/."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.base import Backend, RollbackPlan
from mlops_cli.backends.local import rollback, run_selection
from mlops_cli.backends.local.infra import (
    deploy_infra,
    has_infra,
    plan_infra,
    require_infra,
    set_up,
)
from mlops_cli.backends.local.logs import POLL_SECONDS, LogFollower, log_file, tail
from mlops_cli.backends.local.run_store import RunStore
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.backends.local.stage_executor import LocalStageExecutor, gate_variables
from mlops_cli.backends.run_follower import PollInterval, follow
from mlops_cli.caching.inputs import no_dataset_error
from mlops_cli.core.costs import CostCheck, no_cost_check
from mlops_cli.core.decision import AUTOMATIC, Actor, Decision, DecisionKind, person
from mlops_cli.core.endpoint import Endpoint, EndpointState, GateReport, InvocationResponse
from mlops_cli.core.engine import RunView, StageFailed, run_or_reuse_stage, run_stages
from mlops_cli.core.evidence import limits_of, require_reason
from mlops_cli.core.model_versions import (
    FIRST_STAGE,
    LAST_GATE,
    ModelVersion,
    approved_run,
    deployed_version,
    earlier_version,
    find_version,
    named_model,
    needs_rollback,
    rollback_message,
    rollback_target,
    versions_of,
)
from mlops_cli.core.plan import Plan
from mlops_cli.core.progress import Report, Watch, no_watch
from mlops_cli.core.reproducibility import Reproduction, check_trained, manifest
from mlops_cli.core.runs import Run, RunRequest, Status, find_run, has_decision
from mlops_cli.core.stages import STAGES, position, stage_named
from mlops_cli.data.metadata import DatasetInfo, load
from mlops_cli.errors import MlopsError
from mlops_cli.monitoring.preconditions import check_statistics_available, read_reference
from mlops_cli.monitoring.statistics import FILE, RequestStatistics
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.processes.project_lock import ProjectLock, acquire_by_force
from mlops_cli.project.git import author
from mlops_cli.project.paths import Project
from mlops_cli.project.settings import Settings, claimed_names
from mlops_cli.project.usecase import UseCase, full_names
from mlops_cli.serving.control import EndpointStatus, LocalEndpoint, ServerState
from mlops_cli.tracking import track

if TYPE_CHECKING:
    from mlops_cli.backends.local.approval_evidence import ApprovalEvidence
    from mlops_cli.backends.local.cleanup import Cleanup
    from mlops_cli.core.checks import Finding
    from mlops_cli.core.evidence import Evidence
    from mlops_cli.data.request import DataRequest


class LocalBackend(Backend):
    target = "local"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.lock = ProjectLock(project.state / "lock")
        self.children = JobProcesses(project.state / "children")
        self.server_processes = LocalServerProcesses(project.endpoint)
        self.server = LocalEndpoint(
            project.endpoint,
            settings.endpoint_name(use_case.name),
            self.server_processes,
            settings["ENDPOINT_HOST"],
            int(settings["ENDPOINT_PORT"]),
            sample=use_case.sample,
        )

    @cached_property
    def store(self) -> RunStore:
        require_infra(self.project)
        return RunStore(self.project.database, create=False)

    @contextmanager
    def _hold(self, command: str) -> Iterator[None]:
        """Hold the project and end the orphans of killed commands; the project may be gone by the time of the lock."""
        require_infra(self.project)
        with self.lock.held(command):
            require_infra(self.project)
            self.executor.kill_orphans()
            yield

    @cached_property
    def executor(self) -> LocalStageExecutor:
        return LocalStageExecutor(self.project, self.use_case, self.store, self.server, self.children)

    @cached_property
    def approval_evidence(self) -> ApprovalEvidence:
        from mlops_cli.backends.local.approval_evidence import ApprovalEvidence

        return ApprovalEvidence(self.project, self.use_case, self.store, self.server)

    def plan_infra(self, watch: Watch = no_watch) -> Plan:  # noqa: ARG002 (no step takes long)
        return plan_infra(self.project)

    def deploy_infra(self, watch: Watch = no_watch) -> None:  # noqa: ARG002
        deploy_infra(self.project)

    def discard_plan(self) -> None:
        """Do nothing: a plan leaves nothing behind here."""

    def has_infra(self) -> bool:
        return has_infra(self.project)

    def download_data(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        from mlops_cli.data.dataset import download

        with set_up(self.project, self.lock, "download-data"):
            return download(request, self.project.data, report)

    def dataset(self) -> DatasetInfo | None:
        return load(self.project.data)

    def start_run(
        self,
        request: RunRequest,
        view: RunView,
        consent: CostCheck = no_cost_check,  # noqa: ARG002 (the local target costs nothing)
    ) -> tuple[Run, bool]:
        request = self._checked_request(request)
        with self._hold("run"):
            choice = run_selection.select_run(request, self.store, self.executor)
            if not choice.fresh:
                return choice.run, False
            self.lock.write_holder("run", choice.run.id)
            if self.executor.saved_environment(choice.run) is None:
                self.executor.save_environment(choice.run)
            if request.detach:
                return self._run_in_background(choice), True
            return self._run_stages(choice.run, view, choice.start), True

    def _checked_request(self, request: RunRequest) -> RunRequest:
        """Return the request with full names; raise MlopsError for invalid requests before anything is started."""
        require_infra(self.project)
        request = replace(request, overrides=full_names(self.use_case, request.overrides))
        if request.from_stage:
            position(request.from_stage)
        if load(self.project.data) is None:
            raise no_dataset_error(self.use_case)
        return request

    def _run_stages(self, run: Run, view: RunView, start: str) -> Run:
        try:
            run_stages(run, self.executor, view, start)
        except StageFailed as failure:
            if needs_rollback(run):
                raise self._with_rollback(run, failure, view) from None
            raise
        run_selection.supersede_older(run, self.store)
        if run.status is Status.WAITING or not self.approval_evidence.report_file(run).is_file():
            self._write_report(run, view)
        return run

    def _write_report(self, run: Run, view: RunView) -> None:
        """Write the report; log a failure, since neither a run nor a decision fails for its report."""
        try:
            self.approval_evidence.write_report(
                run, lambda done, total, message: view.progress("approval", done, total, message)
            )
        except Exception as error:  # noqa: BLE001 (made of files of user scripts, on a possibly full disk)
            import logging

            log = logging.getLogger("mlops")
            log.warning("The report of run %s could not be written: %s", run.id, error or type(error).__name__)

    def _with_rollback(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        """Restore the approved model that was live before; return the failure with a note on the endpoint."""
        target = earlier_version(self.models(), run.stage("deploy").output)
        if target is None:
            return failure.with_note("The endpoint goes on serving this model: there is no earlier approved one.")
        why = f"the gate {LAST_GATE} failed in run {run.id}"
        source = approved_run(self.store.runs(), target.digest)
        short = tuple(self.approval_evidence.shortfalls(source, against_live=False))
        reason = rollback.RollbackReason(AUTOMATIC, why, DecisionKind.AUTOMATIC_ROLLBACK, short)
        away_from = named_model(self.models(), run.stage("deploy").output)
        back = rollback.start_rollback(target, away_from, reason, self.store)
        self.lock.write_holder("rollback", back.id)
        try:
            run_stages(back, self.executor, view, FIRST_STAGE)
        except MlopsError as error:
            return failure.with_note(f"Going back to {target.name} has failed, too: {error.message}")
        return failure.with_note(rollback_message(target.name, target.digest))

    def _run_in_background(self, choice: run_selection.RunSelection) -> Run:
        """Continue in a forked child, which shares the lock; an SQLite connection must not cross the fork."""
        from mlops_cli.backends.local.background_run import LogView, detach, finish_background_run

        run = choice.run
        self.store.save(run)
        self.store.close()
        for name in ("store", "executor", "approval_evidence"):
            self.__dict__.pop(name, None)
        if detach(self._run_log(run)):
            self.lock.write_holder("run --detach", run.id)
            finish_background_run(lambda: self._run_and_track(run, LogView(), choice.start))
        return run

    def _run_log(self, run: Run) -> Path:
        """Return the path of a background run's own log."""
        return self.project.runs / run.id / "run.log"

    def _run_and_track(self, run: Run, view: RunView, start: str) -> None:
        """Run the stages and log the run to MLflow, since a background run has no command to do it at the end."""
        try:
            self._run_stages(run, view, start)
        finally:
            track(run, self, self.settings, self.use_case, print)

    def get_run(self, prefix: str = "") -> Run:
        return find_run(self.list_runs(), prefix)

    def list_runs(self) -> list[Run]:
        holder = self.lock.holder()
        live = holder.run_id if holder else ""
        return [run_selection.with_actual_status(run, run.id == live, self._run_log(run)) for run in self.store.runs()]

    def follow(self, run: Run, view: RunView) -> Run:
        tails = LogFollower(self.project.state)
        return follow(lambda: self.get_run(run.id), tails.read, view, PollInterval(POLL_SECONDS, POLL_SECONDS))

    def stop(self, run: Run) -> Run:
        holder = self.lock.holder()
        if holder and holder.run_id == run.id:
            acquire_by_force(self.lock, "stop")
            try:
                self.executor.kill_orphans()
            finally:
                self.lock.release()
        return self.get_run(run.id)

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        with self._hold("stage"):
            run = self.get_run(run_id)
            run_selection.check_ready(run, stage_named(stage))
            self.lock.write_holder("stage", run.id)
            run_or_reuse_stage(stage_named(stage), run, self.executor, view, STAGES)
            run_selection.finish_single_stage(run, self.store)
            return run

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        path = log_file(self.project.state, run, run.stage(stage))

        def ended() -> bool:
            return not follow or self.get_run(run.id).stage(stage).status is not Status.RUNNING

        return tail(path, ended)

    def evidence(self, run: Run) -> Evidence:
        return self.approval_evidence.evidence(run)

    def report(self, run: Run) -> str:
        """Return the report's URL; a decided run's report stays as at the decision: later another model is live."""
        file = self.approval_evidence.report_file(run)
        kept = file.is_file() and run.status is not Status.WAITING
        return (file if kept else self.approval_evidence.write_report(run)).as_uri()

    def check_waiting(self, run: Run) -> None:
        run_selection.check_waiting(run, self.store)

    def approve(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        with self._hold("approve"):
            run = self.get_run(run.id)
            if not has_decision(run, approved):
                self.check_waiting(run)
                self.lock.write_holder("approve", run.id)
                decision = self._decision(run, approved, comment.strip())
                run_selection.record_decision(run, decision, self.store)
                self._write_report(run, view)
            elif approved:
                run_selection.check_still_approved(run, self.store, self.executor)
            if approved and run.status is not Status.DONE:
                self.lock.write_holder("approve", run.id)
                return self._run_stages(run, view, "approval")
            view.stage_changed(run, run.stage("approval"))
            return run

    def _decision(self, run: Run, approved: bool, comment: str) -> Decision:
        """Return a decision on the present evidence, valid for the present limits in usecase.toml."""
        evidence = self.approval_evidence.evidence(run)
        if approved:
            require_reason(evidence, comment)
        stage, gate = stage_named("approval"), run.stage("approval")
        gate.cache_inputs = self.executor.cache_inputs(stage, run)
        gate.key = self.executor.key(gate.cache_inputs)
        return Decision(
            run.id,
            approved,
            self._person(),
            comment,
            time.time(),
            gate.key,
            gate.output,
            shortfalls=tuple(evidence.comment_reasons),
            limits=limits_of(gate),
        )

    def _person(self) -> Actor:
        return person(*claimed_names(), author(self.project.root))

    def models(self) -> list[ModelVersion]:
        return self._models(self.server.status())

    def _models(self, status: EndpointStatus) -> list[ModelVersion]:
        return versions_of(self.list_runs(), self.store.decisions(), status.model_digest or "")

    def plan_rollback(self, version: str) -> RollbackPlan:
        models = self.models()
        unfinished = rollback.rollback_to_finish(self.store, models, version)
        if unfinished:
            return RollbackPlan(find_version(models, unfinished.stage("approval").output), unfinished.id)
        deployed = deployed_version(models)
        target = rollback_target(models, deployed.digest if deployed else "", version)
        source = approved_run(self.store.runs(), target.digest)
        return RollbackPlan(target, shortfalls=tuple(self.approval_evidence.shortfalls(source, against_live=False)))

    def rollback(self, version: str, comment: str, view: RunView) -> Run:
        with self._hold("rollback"):
            run = self._rollback_to(version, comment)
            self.lock.write_holder("rollback", run.id)
            return self._run_stages(run, view, FIRST_STAGE)

    def _rollback_to(self, version: str, comment: str) -> Run:
        """Return the run that deploys the version: the interrupted rollback to it, or a new one."""
        plan, deployed = self.plan_rollback(version), deployed_version(self.models())
        if plan.run_id:
            return self.get_run(plan.run_id)
        reason = rollback.RollbackReason(self._person(), comment.strip(), shortfalls=plan.shortfalls)
        away_from = deployed.named if deployed else None
        return rollback.start_rollback(
            plan.target, away_from, reason, self.store, run_selection.superseded_deploy(self.store)
        )

    def manifest(self, run: Run) -> dict[str, Any]:
        return manifest(run, self.executor.saved_environment(run) or {})

    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        from mlops_cli.backends.local.reproduce import reproduce

        check_trained(run)
        with self._hold("reproduce"):
            return reproduce(run, self.executor, view)

    def endpoint(self) -> Endpoint:
        status = self.server.status()
        deployed = deployed_version(self._models(status))
        digest, objection = (deployed.digest, deployed.objection) if deployed else ("", "")
        lost = deployed is not None and status.state is ServerState.ABSENT
        return Endpoint(
            status.name,
            EndpointState.FAILED if lost else EndpointState(status.state.value),
            status.url,
            status.model_digest or "",
            "" if objection else digest,
            status.since or "",
            f"{self.project.endpoint} holds no server any more." if lost else status.reason,
            digest,
            objection,
        )

    def invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        response = self.server.invoke(body, content_type)
        return InvocationResponse(response.status, response.body, response.seconds)

    def run_gate(self) -> GateReport:
        from mlops_cli.backends.gate_runner import run_gate

        variables = gate_variables(self.server, self.endpoint().deployed_digest)
        stage = stage_named("post-training-tests")
        return run_gate(stage, self.project.training, variables, self.use_case.passed, self.children)

    def request_statistics(self, days: int) -> RequestStatistics:
        status = self.server.status()
        digest = status.model_digest or ""
        check_statistics_available(self.endpoint(), status.sample, self.use_case.sample)
        trained = self.store.find_by_output("train", digest)
        file = self.project.state / trained.artifact / "output" / FILE if trained else None
        reference = read_reference(file.read_bytes() if file and file.is_file() else None)
        return RequestStatistics(
            status.name, digest, status.sample, days, reference, self.server.read_statistics(digest, days)
        )

    def run_checks(self) -> Iterator[Finding]:
        from mlops_cli.backends.local.doctor import checks
        from mlops_cli.core.checks import run_checks

        return run_checks(checks(self))

    def plan_cleanup(self, keep_data: bool) -> Plan:
        return self._cleanup(keep_data).plan()

    def cleanup(self, keep_data: bool, watch: Watch = no_watch) -> Plan:  # noqa: ARG002
        return self._cleanup(keep_data).apply()

    def _cleanup(self, keep_data: bool) -> Cleanup:
        from mlops_cli.backends.local.cleanup import Cleanup

        return Cleanup(self.project, self.server, self.server_processes, self.lock, self.children, keep_data)
