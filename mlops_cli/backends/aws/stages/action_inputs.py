"""The files that a step writes for the next action of its stage in the pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.clients.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.clients.model_registry import ModelRegistry
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.stack_outputs import StackOutputs
from mlops_cli.backends.aws.stages import endpoint_parameters
from mlops_cli.backends.aws.stages.approval_report import ApprovalReport, key_of
from mlops_cli.backends.aws.stages.auto_rollback import RollbackModel
from mlops_cli.backends.aws.stages.jobs.job_builder import LOG_GROUPS
from mlops_cli.core.endpoint import EndpointState
from mlops_cli.core.models.approval import SHORTFALLS
from mlops_cli.core.runs import Run, Status
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.project.usecase.use_case import UseCase

REUSE: dict[str, Any] = {"kind": "reuse", "request": {}}
REFUSED: dict[str, Any] = {"kind": "refused", "request": {}}
CONFIGURATION, TEMPLATE = "endpoint.json", "endpoint.yaml"


@dataclass(frozen=True)
class ActionInputs:
    """``out``: the folder for the files. ``template``: returns the deployed template of the endpoint."""

    out: Path
    use_case: UseCase
    outputs: StackOutputs
    bucket: Bucket
    endpoint: SageMakerEndpoint
    registry: ModelRegistry
    approvals: ApprovalHistory
    approval_report: ApprovalReport
    tags: Mapping[str, str]
    template: Callable[[], bytes]

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a file for the next action of this stage."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / name).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def write_for(self, stage: Stage, run: Run) -> None:
        """Write the next action's files. The action needs them even if the stage was reused."""
        record = run.stage(stage.name)
        if stage.kind in LOG_GROUPS and record.status.has_output:
            self.write("request.json", REUSE)
        if stage.kind is Kind.APPROVAL:
            evidence = self.approval_report.publish(run)
            if record.status is Status.WAITING:  # a decided request stays unchanged
                record.detail = {**record.detail, SHORTFALLS: evidence.shortfalls}
        if stage.kind is Kind.DEPLOY:
            self._write_deployment(run)
        self.write("stage.json", asdict(record))

    def _write_deployment(self, run: Run) -> None:
        """Write the deployment and store it for the next stage. Add the recorded decision to the report."""
        approval = run.approval
        configuration = self._configuration(run, approval.detail["package"], approval.output)
        self.bucket.put_json(key_of(run.id, CONFIGURATION), configuration)
        self._write_endpoint_inputs(configuration)
        self.approval_report.publish_decision(replace(run, decision=self.approvals.for_run(run)))

    def write_result(self, run: Run, target: RollbackModel | None) -> None:
        """Write the model to be live and the stage's result. A deployment without changes takes no time."""
        deployed = self.bucket.get_json(key_of(run.id, CONFIGURATION))
        self._write_endpoint_inputs(self._configuration(run, target.package, target.digest) if target else deployed)
        self.write("request.json", REFUSED if run.endpoint_gate.status is Status.FAILED else REUSE)

    def _write_endpoint_inputs(self, configuration: Mapping[str, Any]) -> None:
        parameters = {**configuration["Parameters"], "Deployment": os.urandom(8).hex()}
        self.write(CONFIGURATION, {**configuration, "Parameters": parameters})
        (self.out / TEMPLATE).write_bytes(self.template())

    def _configuration(self, run: Run, package: str, digest: str) -> dict[str, dict[str, str]]:
        """Return the template configuration.

        A failed endpoint accepts the same content only under a new name. The same is true after a rollback to a
        configuration that was deleted, because the stack's record says that it has the newest one.
        """
        machines, sample = self.use_case.machines.endpoint, self.use_case.sample
        container = self.registry.container(package)
        values = endpoint_parameters.parameters(self.outputs, machines, package, digest, sample, container)
        unusable = self.endpoint.status("").state is EndpointState.FAILED or self.endpoint.deployed_model().is_unknown
        salt = run.id if unusable else ""
        tags = {**self.outputs.company.tags, **self.tags}
        return endpoint_parameters.configuration(self.template(), values, tags, salt)
