"""The aws target: stacks, pipeline, jobs and endpoint in one account and region."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.aws import dataset, source
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.appraisal import SURROUNDINGS, key_of
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.crew import Crew
from mlops_cli.backends.aws.deployed import differences, machines_of_runs
from mlops_cli.backends.aws.expenses import LOGGED, STORED, VOLUMES, Estimate, priced, running, taken
from mlops_cli.backends.aws.logs import Logs
from mlops_cli.backends.aws.names import Names
from mlops_cli.backends.aws.orders import Orders
from mlops_cli.backends.aws.pipeline import Pipeline
from mlops_cli.backends.aws.prices import Prices
from mlops_cli.backends.aws.provision import Provisioner
from mlops_cli.backends.aws.relay import relay
from mlops_cli.backends.aws.results import written
from mlops_cli.backends.aws.runs import ended
from mlops_cli.backends.aws.sampling import read_counts
from mlops_cli.backends.aws.site import Site, site_of_outputs, site_of_variables
from mlops_cli.backends.aws.stacks import Stack, Stacks
from mlops_cli.backends.aws.starting import Wish
from mlops_cli.backends.aws.statemachine import StateMachine
from mlops_cli.backends.aws.step import DECIDING, take_step
from mlops_cli.backends.aws.summary import Facts, summary_of
from mlops_cli.backends.aws.teardown import Teardown
from mlops_cli.backends.aws.workbench import AwsWorkbench
from mlops_cli.backends.base import Answer, Backend, Endpoint, GateReport, Occasion, RollbackPlan
from mlops_cli.backends.ingredients import no_data
from mlops_cli.backends.observability import check_observable, read_reference
from mlops_cli.config import Settings, step_variables
from mlops_cli.costs import Consent, Costs, freely
from mlops_cli.data.manifest import Dataset
from mlops_cli.decision import DecisionKind
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.lifecycle import StageFailed
from mlops_cli.machines import Machines
from mlops_cli.observations import FILE, Observed
from mlops_cli.plans import Plan
from mlops_cli.progress import Report, Watch, unwatched
from mlops_cli.project import Project
from mlops_cli.provenance import REPRODUCED, Reproduction, check_trained, manifest, surroundings
from mlops_cli.registry import (
    FIRST_STAGE,
    LAST_GATE,
    RETURNED,
    ModelVersion,
    approved_run,
    calls_for_rollback,
    earlier_version,
    named_model,
    rollback_target,
    said_back,
)
from mlops_cli.runs import Run, RunRequest
from mlops_cli.seen import Seen
from mlops_cli.stages import position, stage_named
from mlops_cli.usecase import UseCase, full_names

if TYPE_CHECKING:
    from mlops_cli.data.request import Request
    from mlops_cli.doctor import Finding
    from mlops_cli.evidence import Evidence
    from mlops_cli.lifecycle import RunView


class AwsBackend(Backend):
    target = "aws"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.account = Account(settings)
        self.names = Names(use_case.name, settings["STAGE"])

    @cached_property
    def stacks(self) -> Stacks:
        return Stacks(self.account, self.names)

    @cached_property
    def facts(self) -> dict[str, str]:
        """The pipeline stack's outputs; raises ConfigurationError when there is no such stack yet."""
        return self.stacks.required(self.names.pipeline_stack)

    @property
    def _pipeline_stack(self) -> Stack | None:
        """The pipeline's stack if it can be used, with what it was deployed with."""
        stack = self.stacks.find(self.names.pipeline_stack)
        return stack if stack and stack.outputs else None

    @property
    def _machines(self) -> Machines:
        return machines_of_runs(self.use_case, self.settings, self._pipeline_stack)

    def undeployed_settings(self) -> list[str]:
        return differences(self.use_case, self.settings, self._pipeline_stack)

    @cached_property
    def bucket(self) -> Bucket:
        """The project's part of the data bucket; raises ConfigurationError when there is no storage stack yet."""
        return self.provisioner.storage_bucket()

    @cached_property
    def provisioner(self) -> Provisioner:
        return Provisioner(self.project, self.use_case, self.settings, self.account, self.names)

    def place(self) -> str:
        return str(self.account.identity)

    def plan_provision(self, watch: Watch = unwatched) -> Plan:
        return self.provisioner.plan(watch)

    def provision(self, watch: Watch = unwatched) -> None:
        self.provisioner.carry_out(watch)
        facts = self.stacks.required(self.names.pipeline_stack)
        Pipeline(self.account.client("codepipeline"), facts["PipelineName"]).stop_first()

    def forget_plan(self) -> None:
        self.provisioner.forget()

    def is_provisioned(self) -> bool:
        return self.stacks.outputs(self.names.pipeline_stack) is not None

    def put_data(self, request: Request, report: Report) -> tuple[Dataset, bool]:
        machines = self.use_case.machines.preprocess.instance_count
        return dataset.put(request, self.project, self.provisioner, machines, report)

    def dataset(self) -> Dataset | None:
        bucket = self.provisioner.existing_bucket()
        return dataset.load(bucket, self.project.data) if bucket else None

    def examine(self) -> Iterator[Finding]:
        from mlops_cli.backends.aws.doctor import Subject, examine

        return examine(Subject(self.project, self.use_case, self.settings, self.account, self.names, self.dataset))

    def plan_teardown(self, keep_data: bool) -> Plan:
        return self._teardown(keep_data).plan()

    def teardown(self, keep_data: bool, watch: Watch = unwatched) -> Plan:
        left = self._teardown(keep_data).carry_out(watch)
        if not left.active:
            self.seen.forget()
        return left

    def _teardown(self, keep_data: bool) -> Teardown:
        endpoint = self.settings.endpoint_name(self.use_case.name)
        return Teardown(self.project, endpoint, self.account, self.names, keep_data)

    @cached_property
    def site(self) -> Site:
        return site_of_outputs(self.facts)

    @cached_property
    def crew(self) -> Crew:
        return Crew(self.account, self.site, self.bucket, self.stacks, self.names)

    def costs(self, occasion: Occasion) -> Costs:
        if occasion is Occasion.CLEANUP:
            items, by_use = running(self.account, self.settings.endpoint_name(self.use_case.name))
        elif occasion is Occasion.REPRODUCTION:
            items, by_use = self._estimate.jobs(taken(self.crew.pipeline, self.crew.records)), (VOLUMES,)
        else:
            items, by_use = self._estimate.endpoint(), self._estimate.by_use
        return priced(items, Prices(self.account, self.project), (*by_use, STORED, LOGGED))

    def _run_costs(self, request: RunRequest) -> Costs:
        """Of the run, and of the endpoint: a model that was approved before is deployed without asking again."""
        estimate = self._estimate
        items = [*estimate.run(taken(self.crew.pipeline, self.crew.records), request.from_stage), *estimate.endpoint()]
        return priced(items, Prices(self.account, self.project), (*estimate.by_use, VOLUMES, STORED, LOGGED))

    @property
    def _estimate(self) -> Estimate:
        return Estimate(self._machines)

    def start_run(self, request: RunRequest, view: RunView, consent: Consent = freely) -> tuple[Run, bool]:
        """The bool is False when nothing had changed, or when a run of the same waits for a decision."""
        try:
            wish = self._wish(request)
            run_id, fresh = self.crew.starter.start(wish, lambda: consent(self._run_costs(request)))
        except KeyboardInterrupt:
            raise _interrupted("Stopped while a run was being started.", "See whether it was: mlops status") from None
        if fresh:
            self._note_surroundings(run_id)
        if not fresh or request.detach:
            return self._noted(self.crew.runs.again(run_id)), fresh
        return self._ended(self._noted(self.crew.runs.follow(run_id, view, ours=True)), view), True

    def _ended(self, run: Run, view: RunView) -> Run:
        """As ``ended``; a model that has failed its gate on the endpoint makes room for the one before it."""
        try:
            return ended(run)
        except StageFailed as failure:
            if calls_for_rollback(run):
                raise self._rolled_back(run, failure, view) from None
            raise

    def _rolled_back(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        if returned := self._returned(run):
            return failure.also(said_back(returned["version"], returned["digest"]))
        failing = run.stage(FIRST_STAGE).output
        target = earlier_version(self.models(), failing)
        if target is None:
            return failure.also("The endpoint goes on serving this model: there is no earlier approved one.")
        try:
            why = f"the gate {LAST_GATE} failed in run {run.id}"
            self._go_back(target, failing, why, view, DecisionKind.AUTOMATIC_ROLLBACK)
        except MlopsError as error:
            return failure.also(f"Going back to {target.name} has failed, too: {error.message} {error.hint}".rstrip())
        return failure.also(said_back(target.name, target.digest))

    def _returned(self, run: Run) -> dict[str, str] | None:
        """What the pipeline itself has gone back to; None where it could not, so that it is up to this command."""
        returned = run.stage(LAST_GATE).detail.get(RETURNED)
        return returned if returned and self.crew.endpoint.live().digest == returned["digest"] else None

    def _go_back(
        self,
        target: ModelVersion,
        live_digest: str,
        why: str,
        view: RunView,
        kind: DecisionKind = DecisionKind.ROLLBACK,
    ) -> Run:
        """A run from the deployment on, with what the model is made of; what is live is rejected.

        Only once the run is there: a live model is never rejected for nothing. Again, it goes along with the same run.
        """
        # A rollback that was broken off has taken all over from the very run that this one takes it from.
        runs = sorted(self.crew.records.runs(), key=lambda run: run.forced_from == FIRST_STAGE)
        source_run = approved_run(runs, target.digest)
        again = f"mlops rollback --to {target.name}"
        facts = Facts(kind, target.named, named_model(self.models(), live_digest))
        try:
            wish = replace(self._wish(RunRequest(from_stage=FIRST_STAGE)), source=source_run.id)
            run_id, _ = self.crew.starter.start(wish)
            self.crew.versions.reject(live_digest, f"{kind.value} to {target.name}: {why}".rstrip(": "))
        except KeyboardInterrupt:
            raise _interrupted("Stopped before the rollback was complete.", f"Go on with it: {again}") from None
        return ended(self.crew.runs.follow(run_id, view, ours=True, saying=summary_of(why, facts), again=again))

    def models(self) -> list[ModelVersion]:
        models = self.crew.versions.every()
        self.seen.note_versions(models)
        return models

    def plan_rollback(self, version: str) -> RollbackPlan:
        return RollbackPlan(rollback_target(self.models(), self._deployed_digest(), version))

    def rollback(self, version: str, comment: str, view: RunView) -> Run:
        digest = self._deployed_digest()
        return self._go_back(rollback_target(self.models(), digest, version), digest, comment, view)

    def _deployed_digest(self) -> str:
        """What the endpoint serves; if it is gone, what was deployed for the last time."""
        return self.crew.endpoint.live().digest or self.crew.runs.deployed()

    def manifest(self, run: Run) -> dict[str, Any]:
        """``git`` is None for a run that began with a commit: its revision says the same."""
        noted = self.bucket.get_json(key_of(run.id, SURROUNDINGS)) or {"git": None}
        revision = self.crew.pipeline.execution(run.id).revision
        jobs = {name: run.stage(name).detail for name in REPRODUCED}
        machine = {name: detail.get("machine") for name, detail in jobs.items()}
        requirements = {name: detail.get("requirements") for name, detail in jobs.items()}
        return manifest(run, {"revision": revision, **noted, "machine": machine, "requirements": requirements})

    def _note_surroundings(self, run_id: str) -> None:
        """What the pipeline cannot know: the commit that the project's files were at, and what differed from it."""
        key = key_of(run_id, SURROUNDINGS)
        if not self.bucket.exists(key):
            self.bucket.put_json(key, {"git": surroundings(self.project.root)["git"]})

    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        from mlops_cli.backends.aws.reproduction import Errand, RepeatingWorkbench, aside_of, reproduce

        check_trained(run)
        orders = self._orders(self.site, self.bucket, self._machines, aside_of(run.id))
        bench = RepeatingWorkbench(self.project, self.use_case, self.crew, orders)
        machine = StateMachine(self.account.client("stepfunctions"), self.facts["StateMachineArn"])
        return reproduce(run, bench, Errand(machine, Logs(self.account.client("logs")), self.site.endpoint), view)

    def _orders(self, site: Site, bucket: Bucket, machines: Machines, aside: str = "") -> Orders:
        region, tags = self.account.region, self.names.tags
        return Orders(self.project, self.use_case, site, bucket, region, tags, machines, aside)

    def _wish(self, request: RunRequest) -> Wish:
        """The request with full names; raises MlopsError for what cannot work, before anything is sent."""
        request = replace(request, overrides=full_names(self.use_case, request.overrides))
        if request.from_stage:
            position(request.from_stage)
        facts, data = self.facts, self.dataset()
        if data is None:
            raise no_data(self.use_case)
        dataset.place(self.bucket, data.sha256, self.use_case.machines.preprocess.instance_count)
        codecommit = self.account.client("codecommit")
        revision = source.send(facts["SourceType"], self.project, self.bucket, codecommit, facts["RepositoryName"])
        return Wish(revision, data.sha256, request)

    @cached_property
    def seen(self) -> Seen:
        return Seen(self.project.state, self.settings.place(self.use_case.name))

    def get_run(self, prefix: str = "") -> Run:
        return self._noted(self.crew.runs.get(prefix))

    def list_runs(self) -> list[Run]:
        runs = self.crew.runs.every()
        self.seen.note_runs(runs)
        return runs

    def follow(self, run: Run, view: RunView) -> Run:
        return self._noted(self.crew.runs.follow(run.id, view))

    def stop(self, run: Run) -> Run:
        return self._noted(self.crew.stopper.stop(run.id))

    def _noted(self, run: Run) -> Run:
        self.seen.note_run(run)
        return run

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        variables = step_variables()
        site = site_of_variables(variables)
        bucket = Bucket(self.account.client("s3"), site.bucket, site.prefix)
        crew = Crew(self.account, site, bucket, self.stacks, self.names, decides=stage in DECIDING)
        # The variable INSTANCE of a build step is what the stack was deployed with.
        machines = self.use_case.machines.trained_on(self.settings["INSTANCE"])
        bench = AwsWorkbench(self.project, self.use_case, crew, self._orders(site, bucket, machines))
        return take_step(stage, run_id, bench, variables, view)

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        return self.crew.runs.read_log(run, stage, follow)

    def evidence(self, run: Run) -> Evidence:
        return self.crew.appraisal(self.use_case).evidence(run)

    def report(self, run: Run) -> str:
        return self.crew.appraisal(self.use_case).report(run)

    def check_decidable(self, run: Run) -> None:
        self.crew.decider.check(run)

    def decide(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        try:
            self.crew.decider.decide(run, approved, comment)
        except KeyboardInterrupt:
            raise _interrupted(
                "Stopped while the decision was being sent.", "See whether it was: mlops status"
            ) from None
        run = self._noted(self.crew.runs.follow(run.id, view, seen=run))
        if approved:
            return self._ended(run, view)
        with suppress(ImportError):  # numpy is not needed to say no: then `mlops report` puts the decision in
            self.crew.appraisal(self.use_case).publish_decision(run)
        return run

    def endpoint(self) -> Endpoint:
        deployed = self.crew.runs.deployed()
        if not deployed:
            return self.crew.endpoint.status("")
        version = next((one for one in self.crew.versions.every() if one.digest == deployed), None)
        objection = version.objection if version else ""
        endpoint = self.crew.endpoint.status("" if objection else deployed)
        return replace(endpoint, deployed_digest=deployed, objection=objection)

    def invoke(self, body: bytes, content_type: str) -> Answer:
        return self.crew.endpoint.ask(body, content_type)[0]

    def observed(self, days: int) -> Observed:
        live = self.crew.endpoint.live()
        check_observable(self.endpoint(), live.sample, self.use_case.sample)
        source_run = self.crew.records.load(live.run_id)
        artifact = source_run.stage("train").artifact if source_run else ""
        (content,) = written(self.bucket, artifact, FILE) if artifact else (None,)
        counts = read_counts(self.account.client("logs"), self.crew.endpoint.name, live.digest, days)
        return Observed(self.crew.endpoint.name, live.digest, live.sample, days, read_reference(content), counts)

    def run_gate(self) -> GateReport:
        from mlops_cli.backends.gate import run_gate
        from mlops_cli.backends.local.process import Children
        from mlops_cli.backends.local.provision import claim

        claim(self.project)
        approved = self.endpoint()
        with relay(self.crew.endpoint.ask, approved.live_digest) as url:
            variables = {"MLOPS_ENDPOINT_URL": url, "MLOPS_MODEL_DIGEST": approved.deployed_digest}
            children = Children(self.project.state / "children")
            stage = stage_named("post-training-tests")
            return run_gate(stage, self.project.training, variables, self.use_case.passed, children)


def _interrupted(message: str, hint: str) -> MlopsError:
    return MlopsError(message, hint, EXIT_INTERRUPTED)
