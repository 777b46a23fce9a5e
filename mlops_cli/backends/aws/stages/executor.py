"""The engine's StageExecutor in a step on AWS.

A step does not wait for its job: it writes the job's request, CodePipeline's next action runs the job, and the step of
the next stage collects its output (``collect_result``).
"""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from mlops_cli.backends.aws.clients.model_registry import REJECTED, ServingContainer
from mlops_cli.backends.aws.clients.secrets import secret_values
from mlops_cli.backends.aws.company_account import check_hosting
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails
from mlops_cli.backends.aws.models.approvals import approved_stage, objection
from mlops_cli.backends.aws.services import AwsServices
from mlops_cli.backends.aws.stages.action_inputs import ActionInputs
from mlops_cli.backends.aws.stages.approval_report import EVIDENCE, key_of
from mlops_cli.backends.aws.stages.auto_rollback import RollbackModel
from mlops_cli.backends.aws.stages.containers import model_trial
from mlops_cli.backends.aws.stages.deployment_order import require_replaced_model
from mlops_cli.backends.aws.stages.gates import GateRunner, downloaded_output
from mlops_cli.backends.aws.stages.jobs import job_code, job_outputs
from mlops_cli.backends.aws.stages.jobs.job_builder import JobBuilder, job_log
from mlops_cli.backends.aws.stages.jobs.job_provenance import JobProvenance
from mlops_cli.backends.aws.stages.jobs.trial_job import trial_message
from mlops_cli.backends.aws.stages.stage_inputs import StageInputs
from mlops_cli.core.cache_inputs import THE_DATA, digest_cache_inputs
from mlops_cli.core.endpoint import EndpointState
from mlops_cli.core.engine import RunView, StageFailed, StageResult
from mlops_cli.core.models.approval import accepts
from mlops_cli.core.runs import CONTINUE, Run, StageRun, Status
from mlops_cli.core.stages import DATA, Kind, Stage
from mlops_cli.data.metadata import record_of
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks import DEFAULT, FRAMEWORK, framework_named
from mlops_cli.frameworks.base import Framework
from mlops_cli.frameworks.package_check import TRIAL_ANSWER, TRIAL_JOB, UNSERVABLE, UNTRIED, obstacle
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase

ASK_AGAIN = "Ask for a decision: mlops run --from approval"


class AwsStageExecutor:
    """``checkout``: the root of the step's source, if it is not the project's folder."""

    def __init__(
        self,
        project: Project,
        use_case: UseCase,
        services: AwsServices,
        job_builder: JobBuilder,
        checkout: Path | None = None,
    ) -> None:
        self.project = project
        self.use_case = use_case
        self.services = services
        self.outputs = services.outputs
        self.bucket = services.bucket
        self.run_store = services.run_store
        self.endpoint = services.endpoint
        self.job_builder = job_builder
        self.inputs = StageInputs(project, use_case, self.outputs, self.bucket, self.endpoint, job_builder)
        self._out = Project(checkout or project.root).state / "stage"
        self.rollback_model: RollbackModel | None = None
        # The reason and the details of the rollback for which this run was started.
        self.rollback_decision: tuple[str, DecisionDetails] | None = None

    @cached_property
    def action_inputs(self) -> ActionInputs:
        services = self.services
        return ActionInputs(
            self._out,
            self.use_case,
            self.outputs,
            self.bucket,
            self.endpoint,
            services.registry,
            services.approvals,
            services.approval_report,
            services.names.tags,
            lambda: self.inputs.template,
        )

    @property
    def _gate_runner(self) -> GateRunner:
        return GateRunner(self.project, self.use_case, self.bucket, self.endpoint, self.inputs, self._secrets)

    def cache_inputs(self, stage: Stage, run: Run) -> dict[str, str]:
        return self.inputs.cache_inputs(stage, run, self.previous(stage))

    def key(self, cache_inputs: dict[str, str]) -> str:
        return digest_cache_inputs(cache_inputs)

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        own = run.stage(stage.name)
        if own.status.has_output and own.key == key and self._is_usable(stage, own):
            return own
        if stage.kind is Kind.APPROVAL:
            return self._approved(key, run)
        if stage.kind is Kind.GATE:  # in another run, another commit's build has reported its result
            return None
        record = self.run_store.find_stage(stage.name, key)
        if record is None or not (self._is_usable(stage, record) and self.inputs.reads().are_same(record.cache_inputs)):
            return None
        return self._reread(stage, record) if stage.kind is Kind.PROCESSING else record

    def _reread(self, stage: Stage, record: StageRun) -> StageRun:
        """Return a record with its facts read again from the job: a step of any run may have written the record."""
        dataset = {"dataset": record_of(self.inputs.dataset())} if DATA in stage.inputs else {}
        return replace(record, cache_inputs={}, detail={**job_outputs.reread(self.bucket, record), **dataset})

    def _approved(self, key: str, run: Run) -> StageRun | None:
        """Return the approval of the same model under the same limits, if it accepts the present shortfalls."""
        latest = self.services.approvals.latest_approval(run.training.output, key)
        if latest is None:
            return None
        decision, gate = latest
        against_live = decision.run_id != run.id and not decision.is_rollback
        shortfalls = self.services.approval_report.shortfalls(run, against_live)
        return approved_stage(decision, gate) if accepts(decision, shortfalls) else None

    def _is_usable(self, stage: Stage, record: StageRun) -> bool:
        if stage.kind is Kind.DEPLOY:
            status = self.endpoint.status("")
            serves = (status.state, status.live_digest) == (EndpointState.IN_SERVICE, record.output)
            return serves and self.endpoint.deployed_model().sample == self.use_case.sample
        items = self.bucket.list_objects(record.artifact) if record.artifact else iter(())
        return not record.artifact or job_outputs.listing_digest(items) == record.detail["files"]

    def previous(self, stage: Stage) -> StageRun | None:
        return self.run_store.latest_stage(stage.name)

    def save(self, run: Run) -> None:
        self.run_store.save(run)

    def execute(self, stage: Stage, run: Run, view: RunView) -> StageResult:  # noqa: ARG002 (the build's log shows it)
        if stage.kind is Kind.APPROVAL:
            return self._register_for_approval(run)
        if stage.kind is Kind.DEPLOY:
            if self.rollback_decision:
                require_replaced_model(self.rollback_decision[1], self.services.runs.deployed())
            package = run.approval.detail["package"]
            self.services.registry.require_kept(package, run.approval.output)
            self.services.registry.require_approved(package)
            return StageResult(run.approval.output, status=Status.RUNNING)
        return self._gate_runner.run(stage, run) if stage.kind is Kind.GATE else self._prepare_job(stage, run)

    def _prepare_job(self, stage: Stage, run: Run) -> StageResult:
        self._require_deployable(self.use_case.framework)
        self._secrets()  # a missing one fails here, before an instance costs money
        prepared = self.job_builder.prepare(stage, run)
        self.action_inputs.write("request.json", prepared.document)
        run.stage(stage.name).log = job_log(stage, prepared)
        detail = {
            "job": prepared.name,
            "machine": asdict(prepared.machine),
            "requirements": self.job_builder.requirements(),
        }
        if stage.kind is Kind.TRAINING:
            detail |= {FRAMEWORK: self.use_case.framework.name, TRIAL_JOB: prepared.trial}
        return StageResult("", prepared.artifact, detail, Status.RUNNING)

    def _secrets(self) -> dict[str, str]:
        return secret_values(self.services.account, self.job_builder.secrets)

    def _require_deployable(self, framework: Framework) -> None:
        """Raise MlopsError, before the training or the decision, if no endpoint could serve the model.

        The images are those of the framework for which the pipeline was deployed.
        """
        check_hosting(self.use_case.machines.endpoint, bool(self.outputs.company.subnets))
        own, image = self.use_case.serving_image, self.outputs.serving_image
        if image != own if own else not framework.serves_with(image):
            raise StageFailed(
                f'The model is one of [model] framework = "{framework.name}", and the pipeline was deployed with the '
                f"image {image}. Change its images: mlops deploy-infra",
                "Change its images: mlops deploy-infra, then: mlops run",
            )

    def _register_for_approval(self, run: Run) -> StageResult:
        """Copy the model to models/DIGEST/ and register a PendingManualApproval model package."""
        trained = run.training
        framework = framework_named(trained.detail.get(FRAMEWORK, DEFAULT.name))
        self._require_deployable(framework)
        data_digest = run.preparation.cache_inputs.get(THE_DATA, "")
        self.services.registry.copy_model(trained.artifact + job_outputs.MODEL, trained.output)
        installs = framework.installs_code or (framework.uses_handlers and job_outputs.INSTALLS in trained.detail)
        package = self.services.registry.register(
            trained.output, run.id, data_digest, key_of(run.id, EVIDENCE), ServingContainer(framework, installs)
        )
        return StageResult(trained.output, detail={"package": package}, status=Status.WAITING)

    def _folder(self, record: StageRun) -> Path:
        return downloaded_output(self.project, record)

    def publish_outcome(self, run: Run) -> None:
        """Add to the run's report that its model is live. Log a failure: a run does not fail because of its report."""
        try:
            self.services.approval_report.publish_outcome(run)
        except MlopsError as error:
            logging.getLogger("mlops").warning("The report of run %s could not be completed: %s", run.id, error)

    def prepare_rollback(self, run: Run) -> bool:
        """Select the previous model. Return False if there is none, or no failed model to replace."""
        self.rollback_model = self.services.auto_rollback.select_model(run)
        return self.rollback_model is not None

    def provenance(self, run: Run) -> JobProvenance:
        account, pipeline = self.services.account, self.services.pipeline
        clients = account.client("stepfunctions"), account.client("sagemaker")
        return JobProvenance(run, pipeline, *clients, self.bucket, self.job_builder, self._is_same_code)

    def _is_same_code(self, stage: Stage, run: Run, archive: bytes) -> bool:
        shared = [os.path.relpath(folder, self.project.root) for folder in self.use_case.passed.code]
        with tempfile.TemporaryDirectory() as folder:
            ours = Path(folder) / self.project.scripts_dir
            self.job_builder.copy_code(ours, stage)
            return job_code.is_same(stage, run, archive, ours, self.use_case, shared, Path(folder))

    def collect_result(self, stage: Stage, run: Run) -> None:
        """Collect the result of the actions after a stage's step. Raise StageFailed if the result is wrong."""
        record = run.stage(stage.name)
        if stage.kind is Kind.APPROVAL:
            outcome = self._approval_result(stage, run)
        else:
            outcome = self._deploy_result(run) if stage.kind is Kind.DEPLOY else self._job_result(stage, run)
        record.output, record.detail = outcome.output, {**record.detail, **outcome.detail}
        record.status = Status.DONE

    def _job_result(self, stage: Stage, run: Run) -> StageResult:
        record = run.stage(stage.name)
        outcome = job_outputs.outcome(stage, self.bucket, record.artifact, self._folder(record))
        if DATA not in stage.inputs:
            framework = framework_named(record.detail.get(FRAMEWORK, DEFAULT.name))
            if problem := obstacle(self._folder(record) / job_outputs.PACKAGE, framework):
                raise StageFailed(f"{UNSERVABLE}: {problem}.", CONTINUE)
            return replace(outcome, detail={**outcome.detail, **self._trial_detail(record)})
        dataset = self.inputs.dataset()
        if dataset["sha256"] != record.cache_inputs[THE_DATA]:
            raise StageFailed("The data was replaced while it was being prepared.", "Prepare it again: mlops run")
        return replace(outcome, detail={**outcome.detail, "dataset": record_of(dataset)})

    def _trial_detail(self, record: StageRun) -> dict[str, str]:
        """Return the detail of a training about its model's trial; a reproduction has no trial."""
        if not record.detail.get(TRIAL_JOB):
            return {}
        message = trial_message(self.services.account.client("sagemaker"), record.detail[TRIAL_JOB])
        reason = message.partition(model_trial.NOT_TRIED)[2]
        return {UNTRIED: reason} if reason else {TRIAL_ANSWER: message.removeprefix(model_trial.ANSWERED)}

    def _approval_result(self, stage: Stage, run: Run) -> StageResult:
        """Approve the model package of a run that was approved by a command or in the AWS console."""
        record, decision = run.stage(stage.name), self.services.approvals.for_run(run)
        if decision is None or not decision.approved:
            raise StageFailed("The model of this run is not approved.", f"mlops approve {run.id}")
        if problem := objection(decision, record):
            raise StageFailed(f"The approval {decision.by} does not count: {problem}.", ASK_AGAIN)
        package = record.detail["package"]
        if decision.forwarded_from:
            self.services.approvals.require_origin(decision, record)
        if (decision.forwarded_from or decision.is_rollback) and self.services.registry.status(package) == REJECTED:
            raise StageFailed(f"The model {record.output[:12]} was rejected after it had been approved.", ASK_AGAIN)
        self.services.registry.require_kept(package, record.output)
        run.decision = decision
        self.services.registry.decide(package, True, decision.by)
        if self.rollback_decision:
            self.services.auto_rollback.reject_replaced(*self.rollback_decision)
        return StageResult(record.output)

    def _deploy_result(self, run: Run) -> StageResult:
        """Return the result; raise StageFailed unless the live model is the approved one."""
        approved, status = run.approval.output, self.endpoint.status("")
        if (status.state, status.live_digest) != (EndpointState.IN_SERVICE, approved):
            raise StageFailed(
                f"The endpoint {status.name} is {status.state.value} and serves "
                f"{status.live_digest[:12] or 'another model'}; {approved[:12]} is approved. {status.reason}".rstrip(),
                "Deploy again: mlops run --from deploy",
            )
        return StageResult(approved, detail={"endpoint": status.name, "url": status.url, "since": status.since})
