"""Prepare the start of a run: check its options and its data, and upload the project's files."""

from __future__ import annotations

from dataclasses import asdict, replace

from mlops_cli.backends.aws.company_account import check_hosting
from mlops_cli.backends.aws.data import AwsData
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.infra.dataset import dataset_prefix
from mlops_cli.backends.aws.infra.deployed_settings import check_deployed_path
from mlops_cli.backends.aws.infra.source import upload as source_upload
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.caching.inputs import no_dataset_error
from mlops_cli.core.runs import RunRequest
from mlops_cli.core.stages import PREPARATION, position
from mlops_cli.project.usecase.overrides import full_names


def prepare_start(deployed: DeployedProject, request: RunRequest) -> StartRequest:
    """Return the request with full names. Raise MlopsError for an invalid request before anything is sent."""
    project, use_case = deployed.project, deployed.use_case
    request = replace(request, overrides=full_names(use_case, request.overrides))
    if request.from_stage:
        position(request.from_stage)
    check_hosting(use_case.machines.endpoint, bool(deployed.outputs.company.subnets))
    check_deployed_path(project.root, use_case.passed.code, deployed.pipeline_stack)
    outputs, data = deployed.pipeline_outputs, AwsData(deployed).dataset()
    if data is None:
        raise no_dataset_error(use_case)
    dataset_prefix(deployed.bucket, asdict(data), use_case.machines.of(PREPARATION).instance_count)
    revision = source_upload.upload_source(
        outputs["SourceType"],
        project,
        deployed.bucket,
        deployed.account.client("codecommit"),
        outputs["RepositoryName"],
    )
    return StartRequest(revision, data.sha256, request)
