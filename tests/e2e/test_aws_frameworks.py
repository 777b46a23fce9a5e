"""A scikit-learn project that `mlops init` made, from its data to its cleanup on the simulated AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_simulator.fixture import Aws, aws, aws_server
from tests.conftest import Cli

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server"]


def test_a_scikit_learn_project_on_aws(tmp_path: Path, aws: Aws) -> None:
    Cli(tmp_path)("init", "churn", "--framework", "sklearn", "--aws")
    cli = Cli(tmp_path / "churn", {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})
    out = cli("quickstart", "--yes")
    assert "months 2, tickets 6, price 85" in out

    sagemaker = aws.client("sagemaker")
    (job,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert "/sagemaker-scikit-learn:1.9-0-cpu-py3" in described["AlgorithmSpecification"]["TrainingImage"]
    (model,) = sagemaker.list_models()["Models"]
    model = sagemaker.describe_model(ModelName=model["ModelName"])
    assert model["EnableNetworkIsolation"] is False, "its container installs the package's code when it starts"
    assert model["PrimaryContainer"]["Environment"] == {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    }
    (package,) = sagemaker.list_model_packages(ModelPackageGroupName="churn-dev")["ModelPackageSummaryList"]
    package = sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    specification = package["InferenceSpecification"]
    assert specification["SupportedContentTypes"] == ["application/json", "text/csv", "application/x-npy"]
    assert package["CustomerMetadataProperties"]["framework"] == "sklearn"

    use_case = cli.folder / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text().replace('framework = "sklearn"', 'framework = "xgboost"'))
    _, err = cli.both("run", "--from", "train", code=3)
    assert "and the pipeline was deployed with the image" in " ".join(err.split())
    assert "mlops deploy-infra" in err

    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []
