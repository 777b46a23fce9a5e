"""``mlops stage`` in a CodeBuild step: read the stack's outputs from variables, write the next action's files."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_cli.backends.aws.clients.s3 import UNVERSIONED, Bucket
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.runs.pipeline_variables import CHECKPOINTS, RECORD
from mlops_cli.backends.aws.runs.status import DECIDING
from mlops_cli.backends.aws.stack_outputs import from_environment
from mlops_cli.backends.aws.stages.codebuild_step import run_stage_step
from mlops_cli.backends.aws.stages.executor import AwsStageExecutor
from mlops_cli.backends.aws.stages.jobs.job_provenance import no_versions_error
from mlops_cli.backends.base import StageRunner
from mlops_cli.core.engine import RunView
from mlops_cli.core.runs import Run
from mlops_cli.project.environment import step_variables

EXPORTS = "exports.sh"


class StepRunner(StageRunner):
    def __init__(self, deployed: DeployedProject) -> None:
        self._deployed = deployed

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        deployed, variables = self._deployed, step_variables()
        outputs = from_environment(variables)
        bucket = Bucket(deployed.account.client("s3"), outputs.bucket, outputs.prefix, outputs.company.kms_key)
        services = deployed.services_of(outputs, bucket, decides=stage in DECIDING)
        # A step's variable INSTANCE has the value of the stack's last deployment.
        machines = deployed.use_case.machines.trained_on(deployed.settings["INSTANCE"])
        checkpoints = variables.get(CHECKPOINTS) or os.urandom(16).hex()
        job_builder = deployed.job_builder(outputs, bucket, machines, checkpoints=checkpoints)
        checkout = Path(variables["CODEBUILD_SRC_DIR"]) if "CODEBUILD_SRC_DIR" in variables else None
        executor = AwsStageExecutor(deployed.project, deployed.use_case, services, job_builder, checkout)
        run = run_stage_step(stage, run_id, executor, variables, view)
        if services.run_store.saved_version in ("", UNVERSIONED):
            raise no_versions_error()
        self._export({RECORD: services.run_store.saved_version, CHECKPOINTS: checkpoints})
        return run

    def _export(self, values: dict[str, str]) -> None:
        """Write the variable that the buildspec exports to the next steps of this run. No other run can read it."""
        text = "".join(f"export {name}={value}\n" for name, value in values.items())
        self._deployed.project.state.mkdir(exist_ok=True)
        (self._deployed.project.state / EXPORTS).write_text(text, encoding="utf-8")
