"""The local target: everything on this machine, under the project's .mlops/."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.base import Answer, Backend, Endpoint, EndpointState, GateReport, RollbackPlan
from mlops_cli.backends.follow import Pace, follow
from mlops_cli.backends.ingredients import no_data
from mlops_cli.backends.local import history, rollback
from mlops_cli.backends.local.endpoint import EndpointStatus, LocalEndpoint
from mlops_cli.backends.local.lock import Lock, take_over
from mlops_cli.backends.local.logs import POLL_SECONDS, Tails, log_file, tail
from mlops_cli.backends.local.process import Children
from mlops_cli.backends.local.provision import (
    is_provisioned,
    plan_provision,
    provision,
    require_provisioned,
    set_up,
)
from mlops_cli.backends.local.store import Store
from mlops_cli.backends.local.workbench import LocalWorkbench, gate_variables
from mlops_cli.backends.observability import check_observable, read_reference
from mlops_cli.config import Settings, claimed_names
from mlops_cli.costs import Consent, freely
from mlops_cli.data.manifest import Dataset, load
from mlops_cli.decision import AUTOMATIC, Actor, Decision, DecisionKind, person
from mlops_cli.errors import MlopsError
from mlops_cli.evidence import limits_of, require_reason
from mlops_cli.git import author
from mlops_cli.lifecycle import RunView, StageFailed, advance, settle
from mlops_cli.observations import FILE, Observed
from mlops_cli.plans import Plan
from mlops_cli.progress import Report, Watch, unwatched
from mlops_cli.project import Project
from mlops_cli.provenance import Reproduction, check_trained, manifest
from mlops_cli.registry import (
    FIRST_STAGE,
    LAST_GATE,
    ModelVersion,
    approved_run,
    calls_for_rollback,
    deployed_version,
    earlier_version,
    find_version,
    named_model,
    rollback_target,
    said_back,
    versions_of,
)
from mlops_cli.runs import Run, RunRequest, Status, find_run
from mlops_cli.stages import STAGES, position, stage_named
from mlops_cli.tracking import track
from mlops_cli.usecase import UseCase, full_names

if TYPE_CHECKING:
    from mlops_cli.backends.local.appraisal import Appraisal
    from mlops_cli.data.request import Request
    from mlops_cli.doctor import Finding
    from mlops_cli.evidence import Evidence


class LocalBackend(Backend):
    target = "local"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.lock = Lock(project.state / "lock")
        self.children = Children(project.state / "children")
        self.server = LocalEndpoint(
            project.endpoint,
            settings.endpoint_name(use_case.name),
            settings["ENDPOINT_HOST"],
            int(settings["ENDPOINT_PORT"]),
            sample=use_case.sample,
        )

    @cached_property
    def store(self) -> Store:
        require_provisioned(self.project)
        return Store(self.project.database, create=False)

    @contextmanager
    def _held(self, command: str) -> Iterator[None]:
        """Hold the project, in which nothing is left of commands that were killed; it may be gone by then."""
        require_provisioned(self.project)
        with self.lock.held(command):
            require_provisioned(self.project)
            self.bench.sweep()
            yield

    @cached_property
    def bench(self) -> LocalWorkbench:
        return LocalWorkbench(self.project, self.use_case, self.store, self.server, self.children)

    @cached_property
    def appraisal(self) -> Appraisal:
        from mlops_cli.backends.local.appraisal import Appraisal

        return Appraisal(self.project, self.use_case, self.store, self.server)

    def plan_provision(self, watch: Watch = unwatched) -> Plan:  # noqa: ARG002 (nothing takes long here)
        return plan_provision(self.project)

    def provision(self, watch: Watch = unwatched) -> None:  # noqa: ARG002
        provision(self.project)

    def forget_plan(self) -> None:
        """Making a plan leaves nothing behind here."""

    def is_provisioned(self) -> bool:
        return is_provisioned(self.project)

    def put_data(self, request: Request, report: Report) -> tuple[Dataset, bool]:
        from mlops_cli.data.dataset import acquire

        with set_up(self.project, self.lock, "download-data"):
            return acquire(request, self.project.data, report)

    def dataset(self) -> Dataset | None:
        return load(self.project.data)

    def start_run(
        self,
        request: RunRequest,
        view: RunView,
        consent: Consent = freely,  # noqa: ARG002 (nothing costs)
    ) -> tuple[Run, bool]:
        request = self._checked(request)
        with self._held("run"):
            choice = history.choose(request, self.store, self.bench)
            if not choice.fresh:
                return choice.run, False
            self.lock.note("run", choice.run.id)
            if self.bench.noted_surroundings(choice.run) is None:
                self.bench.note_surroundings(choice.run)
            if request.detach:
                return self._detached(choice), True
            return self._advance(choice.run, view, choice.start), True

    def _checked(self, request: RunRequest) -> RunRequest:
        """The request with full names; raises MlopsError for what cannot work, before anything is started."""
        require_provisioned(self.project)
        request = replace(request, overrides=full_names(self.use_case, request.overrides))
        if request.from_stage:
            position(request.from_stage)
        if load(self.project.data) is None:
            raise no_data(self.use_case)
        return request

    def _advance(self, run: Run, view: RunView, start: str) -> Run:
        try:
            advance(run, self.bench, view, start)
        except StageFailed as failure:
            if calls_for_rollback(run):
                raise self._rolled_back(run, failure, view) from None
            raise
        history.supersede_older(run, self.store)
        if run.status is Status.WAITING or not self.appraisal.report_file(run).is_file():
            self._write_report(run, view)
        return run

    def _write_report(self, run: Run, view: RunView) -> None:
        """Neither a run nor a decision fails for its report: what went wrong is said."""
        try:
            self.appraisal.write_report(run, lambda done, total, what: view.progress("approval", done, total, what))
        except Exception as error:  # noqa: BLE001 (it is made of what scripts wrote, on a disk that may be full)
            import logging

            log = logging.getLogger("mlops")
            log.warning("The report of run %s could not be written: %s", run.id, error or type(error).__name__)

    def _rolled_back(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        """Bring back the approved model that was live before; the failure, with what became of the endpoint."""
        target = earlier_version(self.models(), run.stage("deploy").output)
        if target is None:
            return failure.also("The endpoint goes on serving this model: there is no earlier approved one.")
        why = f"the gate {LAST_GATE} failed in run {run.id}"
        source = approved_run(self.store.runs(), target.digest)
        short = tuple(self.appraisal.shortfalls(source, against_live=False))
        words = rollback.Words(AUTOMATIC, why, DecisionKind.AUTOMATIC_ROLLBACK, short)
        away_from = named_model(self.models(), run.stage("deploy").output)
        back = rollback.begin(target, away_from, words, self.store)
        self.lock.note("rollback", back.id)
        try:
            advance(back, self.bench, view, FIRST_STAGE)
        except MlopsError as error:
            return failure.also(f"Going back to {target.name} has failed, too: {error.message}")
        return failure.also(said_back(target.name, target.digest))

    def _detached(self, choice: history.Choice) -> Run:
        """Go on in a forked child, which shares the lock; an SQLite connection must not cross the fork."""
        from mlops_cli.backends.local.detached import LogView, detach, finish

        run = choice.run
        self.store.save(run)
        self.store.close()
        for name in ("store", "bench", "appraisal"):
            self.__dict__.pop(name, None)
        if detach(self._run_log(run)):
            self.lock.note("run --detach", run.id)
            finish(lambda: self._alone(run, LogView(), choice.start))
        return run

    def _run_log(self, run: Run) -> Path:
        """Where a run in the background says how it goes."""
        return self.project.runs / run.id / "run.log"

    def _alone(self, run: Run, view: RunView, start: str) -> None:
        """In the background there is no command that logs the run when it has ended."""
        try:
            self._advance(run, view, start)
        finally:
            track(run, self, self.settings, self.use_case, print)

    def get_run(self, prefix: str = "") -> Run:
        return find_run(self.list_runs(), prefix)

    def list_runs(self) -> list[Run]:
        holder = self.lock.holder()
        live = holder.run_id if holder else ""
        return [history.as_it_is(run, run.id == live, self._run_log(run)) for run in self.store.runs()]

    def follow(self, run: Run, view: RunView) -> Run:
        tails = Tails(self.project.state)
        return follow(lambda: self.get_run(run.id), tails.read, view, Pace(POLL_SECONDS, POLL_SECONDS))

    def stop(self, run: Run) -> Run:
        holder = self.lock.holder()
        if holder and holder.run_id == run.id:
            take_over(self.lock, "stop")
            try:
                self.bench.sweep()
            finally:
                self.lock.release()
        return self.get_run(run.id)

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        with self._held("stage"):
            run = self.get_run(run_id)
            history.check_ready(run, stage_named(stage))
            self.lock.note("stage", run.id)
            settle(stage_named(stage), run, self.bench, view, STAGES)
            history.close(run, self.store)
            return run

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        path = log_file(self.project.state, run, run.stage(stage))

        def ended() -> bool:
            return not follow or self.get_run(run.id).stage(stage).status is not Status.RUNNING

        return tail(path, ended)

    def evidence(self, run: Run) -> Evidence:
        return self.appraisal.evidence(run)

    def report(self, run: Run) -> str:
        """A decided run's report stays what it was when the decision fell: later another model is live."""
        file = self.appraisal.report_file(run)
        kept = file.is_file() and run.status is not Status.WAITING
        return (file if kept else self.appraisal.write_report(run)).as_uri()

    def check_decidable(self, run: Run) -> None:
        history.check_decidable(run, self.store)

    def decide(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        with self._held("approve"):
            run = self.get_run(run.id)
            self.check_decidable(run)
            self.lock.note("approve", run.id)
            gate, decision = run.stage("approval"), self._decision(run, approved, comment.strip())
            history.decide(run, decision, self.store)
            self._write_report(run, view)
            if approved:
                return self._advance(run, view, "approval")
            view.stage_changed(run, gate)
            return run

    def _decision(self, run: Run, approved: bool, comment: str) -> Decision:
        """What a person says now, of the evidence of now: it holds for the limits that usecase.toml has now."""
        evidence = self.appraisal.evidence(run)
        if approved:
            require_reason(evidence, comment)
        stage, gate = stage_named("approval"), run.stage("approval")
        gate.ingredients = self.bench.ingredients(stage, run)
        gate.key = self.bench.key(gate.ingredients)
        return Decision(
            run.id,
            approved,
            self._person(),
            comment,
            time.time(),
            gate.key,
            gate.output,
            shortfalls=tuple(evidence.demanding),
            limits=limits_of(gate),
        )

    def _person(self) -> Actor:
        return person(*claimed_names(), author(self.project.root))

    def models(self) -> list[ModelVersion]:
        return self._models(self.server.status())

    def _models(self, seen: EndpointStatus) -> list[ModelVersion]:
        return versions_of(self.list_runs(), self.store.decisions(), seen.model_digest or "")

    def plan_rollback(self, version: str) -> RollbackPlan:
        models = self.models()
        under_way = rollback.to_finish(self.store, models, version)
        if under_way:
            return RollbackPlan(find_version(models, under_way.stage("approval").output), under_way.id)
        deployed = deployed_version(models)
        target = rollback_target(models, deployed.digest if deployed else "", version)
        source = approved_run(self.store.runs(), target.digest)
        return RollbackPlan(target, shortfalls=tuple(self.appraisal.shortfalls(source, against_live=False)))

    def rollback(self, version: str, comment: str, view: RunView) -> Run:
        with self._held("rollback"):
            run = self._rollback_to(version, comment)
            self.lock.note("rollback", run.id)
            return self._advance(run, view, FIRST_STAGE)

    def _rollback_to(self, version: str, comment: str) -> Run:
        """The run that deploys the version: the one that was interrupted, if it is about this one, or a new one."""
        plan, deployed = self.plan_rollback(version), deployed_version(self.models())
        if plan.run_id:
            return self.get_run(plan.run_id)
        words = rollback.Words(self._person(), comment.strip(), shortfalls=plan.shortfalls)
        away_from = deployed.named if deployed else None
        return rollback.begin(plan.target, away_from, words, self.store, history.overtaken(self.store))

    def manifest(self, run: Run) -> dict[str, Any]:
        return manifest(run, self.bench.noted_surroundings(run) or {})

    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        from mlops_cli.backends.local.reproduction import reproduce

        check_trained(run)
        with self._held("reproduce"):
            return reproduce(run, self.bench, view)

    def endpoint(self) -> Endpoint:
        seen = self.server.status()
        deployed = deployed_version(self._models(seen))
        digest, objection = (deployed.digest, deployed.objection) if deployed else ("", "")
        lost = deployed is not None and seen.state is EndpointState.ABSENT
        return Endpoint(
            seen.name,
            EndpointState.FAILED if lost else seen.state,
            seen.url,
            seen.model_digest or "",
            "" if objection else digest,
            seen.since or "",
            f"{self.project.endpoint} holds no server any more." if lost else seen.reason,
            digest,
            objection,
        )

    def invoke(self, body: bytes, content_type: str) -> Answer:
        response = self.server.invoke(body, content_type)
        return Answer(response.status, response.body, response.seconds)

    def run_gate(self) -> GateReport:
        from mlops_cli.backends.gate import run_gate

        variables = gate_variables(self.server, self.endpoint().deployed_digest)
        stage = stage_named("post-training-tests")
        return run_gate(stage, self.project.training, variables, self.use_case.passed, self.children)

    def observed(self, days: int) -> Observed:
        seen = self.server.status()
        digest = seen.model_digest or ""
        check_observable(self.endpoint(), seen.sample, self.use_case.sample)
        trained = self.store.made("train", digest)
        file = self.project.state / trained.artifact / "output" / FILE if trained else None
        reference = read_reference(file.read_bytes() if file and file.is_file() else None)
        return Observed(seen.name, digest, seen.sample, days, reference, self.server.observed(digest, days))

    def examine(self) -> Iterator[Finding]:
        from mlops_cli.backends.local.checkup import checks
        from mlops_cli.doctor import examined

        return examined(checks(self))

    def plan_teardown(self, keep_data: bool) -> Plan:
        from mlops_cli.backends.local import teardown

        return teardown.plan(self.project, self.server, self.lock, self.children, keep_data)

    def teardown(self, keep_data: bool, watch: Watch = unwatched) -> Plan:  # noqa: ARG002
        from mlops_cli.backends.local import teardown

        return teardown.carry_out(self.project, self.server, self.lock, self.children, keep_data)
