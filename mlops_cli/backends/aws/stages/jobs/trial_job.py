"""The processing job that tries a trained model in the serving image: its name, files, variables and message."""

from __future__ import annotations

from pathlib import Path

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.stages.containers import model_trial
from mlops_cli.backends.aws.stages.index_url import URL
from mlops_cli.backends.aws.stages.jobs.job_requests import TRIAL, job_name
from mlops_cli.backends.aws.stages.jobs.package_index import PackageIndex
from mlops_cli.core.runs import Run
from mlops_cli.frameworks.base import Framework
from mlops_cli.project.usecase.use_case import UseCase

STAGE = "trial"


def trial_name(endpoint: str, run: Run, training: str) -> str:
    """Return the name of the trial of a training job's model: both end with the same attempt."""
    return job_name(endpoint, STAGE, run.id, training.rpartition("-")[2])


def write_files(folder: Path, use_case: UseCase) -> list[str]:
    """Write the job's files; return their names."""
    (folder / TRIAL).write_bytes(Path(model_trial.__file__).read_bytes())
    (folder / model_trial.EXAMPLES).write_text(use_case.example_request, encoding="utf-8")
    return [TRIAL, model_trial.EXAMPLES]


def variables(framework: Framework, index: PackageIndex) -> dict[str, str]:
    """Return the variables of the endpoint's container; like that, the trial reads no credential of an index."""
    return {**framework.environment, **({URL: index.url} if index.url and not index.secret else {})}


def trial_message(sagemaker: Client, name: str) -> str:
    """Return the job's message, which SageMaker keeps and nobody else can write."""
    description = sagemaker.describe_processing_job(ProcessingJobName=name)
    return " ".join(str(description.get("ExitMessage", "")).split())
