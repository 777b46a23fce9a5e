"""The aws target: stacks, pipeline, jobs and endpoint in one account and region."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.cleanup.steps import Cleanup
from mlops_cli.backends.aws.clients.cloudformation import Stack, Stacks
from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.logs import Logs
from mlops_cli.backends.aws.clients.pricing import Prices
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.clients.stepfunctions import StateMachine
from mlops_cli.backends.aws.infra import dataset, source_upload
from mlops_cli.backends.aws.infra.deploy import InfraDeployer
from mlops_cli.backends.aws.infra.deployed_settings import differences, machines_of_runs
from mlops_cli.backends.aws.request_statistics import read_counts
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.backends.aws.runs.approval_summary import DecisionDetails, summary_of
from mlops_cli.backends.aws.runs.cost_estimate import (
    LOGGED,
    STORED,
    VOLUMES,
    Estimate,
    current_endpoint_items,
    recent_durations,
    with_prices,
)
from mlops_cli.backends.aws.runs.queries import raise_for_status
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.backends.aws.services import AwsServices
from mlops_cli.backends.aws.stack_outputs import StackOutputs, from_environment, from_stack
from mlops_cli.backends.aws.stages.approval_report import ENVIRONMENT, key_of
from mlops_cli.backends.aws.stages.codebuild_step import DECIDING, run_stage_step
from mlops_cli.backends.aws.stages.endpoint_proxy import endpoint_proxy
from mlops_cli.backends.aws.stages.executor import AwsStageExecutor
from mlops_cli.backends.aws.stages.job_builder import JobBuilder
from mlops_cli.backends.aws.stages.job_outputs import training_outputs
from mlops_cli.backends.base import Backend, CostScope, RollbackPlan
from mlops_cli.caching.inputs import no_dataset_error
from mlops_cli.core.costs import CostCheck, Costs, no_cost_check
from mlops_cli.core.decision import DecisionKind
from mlops_cli.core.endpoint import Endpoint, GateReport, InvocationResponse
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.model_versions import (
    FIRST_STAGE,
    LAST_GATE,
    ROLLED_BACK_TO,
    ModelVersion,
    approved_run,
    earlier_version,
    named_model,
    needs_rollback,
    rollback_message,
    rollback_target,
)
from mlops_cli.core.plan import Plan
from mlops_cli.core.progress import Report, Watch, no_watch
from mlops_cli.core.reproducibility import REPRODUCED, Reproduction, check_trained, manifest
from mlops_cli.core.runs import Run, RunRequest, Status, has_decision, overtaken_error
from mlops_cli.core.stages import position, stage_named
from mlops_cli.data.metadata import DatasetInfo
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.monitoring.preconditions import check_statistics_available, read_reference
from mlops_cli.monitoring.statistics import FILE, RequestStatistics
from mlops_cli.project.completion_cache import CompletionCache
from mlops_cli.project.environment_info import environment_info
from mlops_cli.project.instances import InstanceSettings
from mlops_cli.project.paths import Project
from mlops_cli.project.settings import Settings, step_variables
from mlops_cli.project.usecase import UseCase, full_names

if TYPE_CHECKING:
    from mlops_cli.core.checks import Finding
    from mlops_cli.core.engine import RunView
    from mlops_cli.core.evidence import Evidence
    from mlops_cli.data.request import DataRequest


class AwsBackend(Backend):
    target = "aws"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.account = Account(settings)
        self.names = ResourceNames(use_case.name, settings["STAGE"])

    @cached_property
    def stacks(self) -> Stacks:
        return Stacks(self.account, self.names)

    @cached_property
    def pipeline_outputs(self) -> dict[str, str]:
        """Return the pipeline stack's outputs; raise ConfigurationError if the stack does not exist yet."""
        return self.stacks.required(self.names.pipeline_stack)

    @property
    def _pipeline_stack(self) -> Stack | None:
        """Return the pipeline's stack with its outputs if it is usable."""
        stack = self.stacks.find(self.names.pipeline_stack)
        return stack if stack and stack.outputs else None

    @property
    def _machines(self) -> InstanceSettings:
        return machines_of_runs(self.use_case, self.settings, self._pipeline_stack)

    def undeployed_settings(self) -> list[str]:
        return differences(self.use_case, self.settings, self._pipeline_stack)

    @cached_property
    def bucket(self) -> Bucket:
        """Return the project's part of the data bucket; raise ConfigurationError without a storage stack."""
        return self.infra_deployer.storage_bucket()

    @cached_property
    def infra_deployer(self) -> InfraDeployer:
        return InfraDeployer(self.project, self.use_case, self.settings, self.account, self.names)

    def account_label(self) -> str:
        return str(self.account.identity)

    def plan_infra(self, watch: Watch = no_watch) -> Plan:
        return self.infra_deployer.plan(watch)

    def deploy_infra(self, watch: Watch = no_watch) -> None:
        self.infra_deployer.apply(watch)
        outputs = self.stacks.required(self.names.pipeline_stack)
        Pipeline(self.account.client("codepipeline"), outputs["PipelineName"]).stop_first()

    def discard_plan(self) -> None:
        self.infra_deployer.discard_plan()

    def has_infra(self) -> bool:
        return self.stacks.outputs(self.names.pipeline_stack) is not None

    def download_data(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        machines = self.use_case.machines.preprocess.instance_count
        return dataset.upload(request, self.project, self.infra_deployer, machines, report)

    def dataset(self) -> DatasetInfo | None:
        bucket = self.infra_deployer.existing_bucket()
        return dataset.load(bucket, self.project.data) if bucket else None

    def run_checks(self) -> Iterator[Finding]:
        from mlops_cli.backends.aws.doctor import CheckContext, run_doctor

        return run_doctor(
            CheckContext(self.project, self.use_case, self.settings, self.account, self.names, self.dataset)
        )

    def plan_cleanup(self, keep_data: bool) -> Plan:
        return self._cleanup(keep_data).plan()

    def cleanup(self, keep_data: bool, watch: Watch = no_watch) -> Plan:
        remaining = self._cleanup(keep_data).apply(watch)
        if not remaining.active:
            self.completion_cache.clear()
        return remaining

    def _cleanup(self, keep_data: bool) -> Cleanup:
        endpoint = self.settings.endpoint_name(self.use_case.name)
        return Cleanup(self.project, endpoint, self.account, self.names, keep_data)

    @cached_property
    def outputs(self) -> StackOutputs:
        return from_stack(self.pipeline_outputs)

    @cached_property
    def services(self) -> AwsServices:
        return AwsServices(self.account, self.outputs, self.bucket, self.stacks, self.names)

    def costs(self, occasion: CostScope) -> Costs:
        if occasion is CostScope.CLEANUP:
            items, by_use = current_endpoint_items(self.account, self.settings.endpoint_name(self.use_case.name))
        elif occasion is CostScope.REPRODUCTION:
            items, by_use = (
                self._estimate.jobs(recent_durations(self.services.pipeline, self.services.run_store)),
                (VOLUMES,),
            )
        else:
            items, by_use = self._estimate.endpoint(), self._estimate.by_use
        return with_prices(items, Prices(self.account, self.project), (*by_use, STORED, LOGGED))

    def _run_costs(self, request: RunRequest) -> Costs:
        """Return the costs of the run and of the endpoint: an approved model is deployed without a second question."""
        estimate = self._estimate
        items = [
            *estimate.run(recent_durations(self.services.pipeline, self.services.run_store), request.from_stage),
            *estimate.endpoint(),
        ]
        return with_prices(items, Prices(self.account, self.project), (*estimate.by_use, VOLUMES, STORED, LOGGED))

    @property
    def _estimate(self) -> Estimate:
        return Estimate(self._machines)

    def start_run(self, request: RunRequest, view: RunView, consent: CostCheck = no_cost_check) -> tuple[Run, bool]:
        """Start or continue a run; the bool is False if nothing changed or an equal run waits for approval."""
        try:
            start_request = self._start_request(request)
            run_id, fresh = self.services.starter.start(start_request, lambda: consent(self._run_costs(request)))
        except KeyboardInterrupt:
            raise _interrupted("Stopped while a run was being started.", "See whether it was: mlops status") from None
        if fresh:
            self._save_environment(run_id)
        if not fresh or request.detach:
            return self._cached(self.services.runs.refresh(run_id)), fresh
        return self._ended(self._cached(self.services.runs.follow(run_id, view, ours=True)), view), True

    def _ended(self, run: Run, view: RunView) -> Run:
        """Raise as ``raise_for_status`` does; roll back first if the model failed its gate on the endpoint."""
        try:
            return raise_for_status(run)
        except StageFailed as failure:
            if needs_rollback(run):
                raise self._rolled_back(run, failure, view) from None
            raise

    def _rolled_back(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        if returned := self._rolled_back_run(run):
            return failure.with_note(rollback_message(returned["version"], returned["digest"]))
        failing = run.stage(FIRST_STAGE).output
        target = earlier_version(self.models(), failing)
        if target is None:
            return failure.with_note("The endpoint goes on serving this model: there is no earlier approved one.")
        try:
            why = f"the gate {LAST_GATE} failed in run {run.id}"
            self._start_rollback(target, failing, why, view, DecisionKind.AUTOMATIC_ROLLBACK)
        except MlopsError as error:
            return failure.with_note(
                f"Going back to {target.name} has failed, too: {error.message} {error.hint}".rstrip()
            )
        return failure.with_note(rollback_message(target.name, target.digest))

    def _rolled_back_run(self, run: Run) -> dict[str, str] | None:
        """Return the pipeline's own rollback; None if it did not succeed and this command must roll back."""
        returned = run.stage(LAST_GATE).detail.get(ROLLED_BACK_TO)
        return returned if returned and self.services.endpoint.deployed_model().digest == returned["digest"] else None

    def _start_rollback(
        self,
        target: ModelVersion,
        live_digest: str,
        why: str,
        view: RunView,
        kind: DecisionKind = DecisionKind.ROLLBACK,
    ) -> Run:
        """Start a run at the deployment with the model's earlier stages; reject the live model.

        Reject only after the run exists: a live model is never rejected without a successor. A repeated command
        continues the same run.
        """
        # An interrupted rollback copied its stages from the same original run, so prefer the original.
        runs = sorted(self.services.run_store.runs(), key=lambda run: run.forced_from == FIRST_STAGE)
        source_run = approved_run(runs, target.digest)
        command = f"mlops rollback --to {target.name}"
        details = DecisionDetails(kind, target.named, named_model(self.models(), live_digest))
        try:
            start_request = replace(self._start_request(RunRequest(from_stage=FIRST_STAGE)), source=source_run.id)
            run_id, _ = self.services.starter.start(start_request)
            self.services.versions.reject(live_digest, f"{kind.value} to {target.name}: {why}".rstrip(": "))
        except KeyboardInterrupt:
            raise _interrupted("Stopped before the rollback was complete.", f"Go on with it: {command}") from None
        return raise_for_status(
            self.services.runs.follow(run_id, view, ours=True, summary=summary_of(why, details), resume_command=command)
        )

    def models(self) -> list[ModelVersion]:
        models = self.services.versions.list_versions()
        self.completion_cache.save_versions(models)
        return models

    def plan_rollback(self, version: str) -> RollbackPlan:
        return RollbackPlan(rollback_target(self.models(), self._deployed_digest(), version))

    def rollback(self, version: str, comment: str, view: RunView) -> Run:
        digest = self._deployed_digest()
        return self._start_rollback(rollback_target(self.models(), digest, version), digest, comment, view)

    def _deployed_digest(self) -> str:
        """Return the endpoint's model; without an endpoint, the last deployed one."""
        return self.services.endpoint.deployed_model().digest or self.services.runs.deployed()

    def manifest(self, run: Run) -> dict[str, Any]:
        """Return the manifest; ``git`` is None for a run that began with a commit, since its revision is the same."""
        noted = self.bucket.get_json(key_of(run.id, ENVIRONMENT)) or {"git": None}
        revision = self.services.pipeline.execution(run.id).revision
        jobs = {name: run.stage(name).detail for name in REPRODUCED}
        machine = {name: detail.get("machine") for name, detail in jobs.items()}
        requirements = {name: detail.get("requirements") for name, detail in jobs.items()}
        return manifest(run, {"revision": revision, **noted, "machine": machine, "requirements": requirements})

    def _save_environment(self, run_id: str) -> None:
        """Save the data that the pipeline lacks: the commit of the project's files and the differences from it."""
        key = key_of(run_id, ENVIRONMENT)
        if not self.bucket.exists(key):
            self.bucket.put_json(key, {"git": environment_info(self.project.root)["git"]})

    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        from mlops_cli.backends.aws.runs.reproduce import JobRunner, ReproduceExecutor, reproduce, scratch_prefix

        check_trained(run)
        job_builder = self._job_builder(self.outputs, self.bucket, self._machines, scratch_prefix(run.id))
        executor = ReproduceExecutor(self.project, self.use_case, self.services, job_builder)
        machine = StateMachine(self.account.client("stepfunctions"), self.pipeline_outputs["StateMachineArn"])
        return reproduce(
            run, executor, JobRunner(machine, Logs(self.account.client("logs")), self.outputs.endpoint), view
        )

    def _job_builder(
        self, outputs: StackOutputs, bucket: Bucket, machines: InstanceSettings, scratch: str = ""
    ) -> JobBuilder:
        region, tags = self.account.region, self.names.tags
        return JobBuilder(self.project, self.use_case, outputs, bucket, region, tags, machines, scratch)

    def _start_request(self, request: RunRequest) -> StartRequest:
        """Return the request with full names; raise MlopsError for invalid requests before anything is sent."""
        request = replace(request, overrides=full_names(self.use_case, request.overrides))
        if request.from_stage:
            position(request.from_stage)
        outputs, data = self.pipeline_outputs, self.dataset()
        if data is None:
            raise no_dataset_error(self.use_case)
        dataset.dataset_prefix(self.bucket, data.sha256, self.use_case.machines.preprocess.instance_count)
        codecommit = self.account.client("codecommit")
        revision = source_upload.upload_source(
            outputs["SourceType"], self.project, self.bucket, codecommit, outputs["RepositoryName"]
        )
        return StartRequest(revision, data.sha256, request)

    @cached_property
    def completion_cache(self) -> CompletionCache:
        return CompletionCache(self.project.state, self.settings.cache_location(self.use_case.name))

    def get_run(self, prefix: str = "") -> Run:
        return self._cached(self.services.runs.get(prefix))

    def list_runs(self) -> list[Run]:
        runs = self.services.runs.list_runs()
        self.completion_cache.save_runs(runs)
        return runs

    def follow(self, run: Run, view: RunView) -> Run:
        return self._cached(self.services.runs.follow(run.id, view))

    def stop(self, run: Run) -> Run:
        return self._cached(self.services.stopper.stop(run.id))

    def _cached(self, run: Run) -> Run:
        self.completion_cache.save_run(run)
        return run

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        variables = step_variables()
        outputs = from_environment(variables)
        bucket = Bucket(self.account.client("s3"), outputs.bucket, outputs.prefix)
        services = AwsServices(self.account, outputs, bucket, self.stacks, self.names, decides=stage in DECIDING)
        # The variable INSTANCE of a build step is the value of the stack's last deployment.
        machines = self.use_case.machines.trained_on(self.settings["INSTANCE"])
        executor = AwsStageExecutor(self.project, self.use_case, services, self._job_builder(outputs, bucket, machines))
        return run_stage_step(stage, run_id, executor, variables, view)

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        return self.services.runs.read_log(run, stage, follow)

    def evidence(self, run: Run) -> Evidence:
        return self.services.approval_report(self.use_case).evidence(run)

    def report(self, run: Run) -> str:
        return self.services.approval_report(self.use_case).report(run)

    def check_waiting(self, run: Run) -> None:
        self.services.approval_sender.check(run)

    def approve(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        if has_decision(run, approved):
            return self._completed(run, view) if approved else run
        try:
            self.services.approval_sender.send(run, approved, comment)
        except KeyboardInterrupt:
            raise _interrupted(
                "Stopped while the decision was being sent.", "See whether it was: mlops status"
            ) from None
        run = self._cached(self.services.runs.follow(run.id, view, shown_run=run))
        if approved:
            return self._ended(run, view)
        with suppress(ImportError):  # a rejection works without numpy: `mlops report` then adds the decision
            self.services.approval_report(self.use_case).publish_decision(run)
        return run

    def _completed(self, run: Run, view: RunView) -> Run:
        """Follow an approved run that the pipeline still carries out."""
        if run.status is Status.RUNNING:
            return self._ended(self._cached(self.services.runs.follow(run.id, view, shown_run=run)), view)
        if self.endpoint().approved_digest != run.stage("approval").output:
            raise overtaken_error(run)
        return raise_for_status(run)

    def endpoint(self) -> Endpoint:
        deployed = self.services.runs.deployed()
        if not deployed:
            return self.services.endpoint.status("")
        versions = self.services.versions.list_versions()
        version = next((version for version in versions if version.digest == deployed), None)
        objection = version.objection if version else ""
        endpoint = self.services.endpoint.status("" if objection else deployed)
        return replace(endpoint, deployed_digest=deployed, objection=objection)

    def invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        return self.services.endpoint.invoke(body, content_type)[0]

    def request_statistics(self, days: int) -> RequestStatistics:
        live = self.services.endpoint.deployed_model()
        check_statistics_available(self.endpoint(), live.sample, self.use_case.sample)
        source_run = self.services.run_store.load(live.run_id)
        artifact = source_run.stage("train").artifact if source_run else ""
        (content,) = training_outputs(self.bucket, artifact, FILE) if artifact else (None,)
        counts = read_counts(self.account.client("logs"), self.services.endpoint.name, live.digest, days)
        return RequestStatistics(
            self.services.endpoint.name, live.digest, live.sample, days, read_reference(content), counts
        )

    def run_gate(self) -> GateReport:
        from mlops_cli.backends.gate_runner import run_gate
        from mlops_cli.processes.child_process import JobProcesses
        from mlops_cli.project.state_dir import create_state_dir

        create_state_dir(self.project)
        approved = self.endpoint()
        with endpoint_proxy(self.services.endpoint.invoke, approved.live_digest) as url:
            variables = {"MLOPS_ENDPOINT_URL": url, "MLOPS_MODEL_DIGEST": approved.deployed_digest}
            children = JobProcesses(self.project.state / "children")
            stage = stage_named("post-training-tests")
            return run_gate(stage, self.project.training, variables, self.use_case.passed, children)


def _interrupted(message: str, hint: str) -> MlopsError:
    return MlopsError(message, hint, EXIT_INTERRUPTED)
