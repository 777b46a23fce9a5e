"""The texts of the guide, with PyTorch and then with Hugging Face, on the simulated AWS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from mlops_cli.frameworks import framework_named
from tests.conftest import Cli
from tests.e2e.aws.test_aws_frameworks import project_of_guide
from tests.e2e.test_guide import PYTORCH, write_files

pytest.importorskip("torch", reason="PyTorch is gigabytes; CI does without it")
pytest.importorskip("transformers", reason="it comes with the extra: pip install -e '.[huggingface]'")
pytestmark = pytest.mark.slow


def training_images(aws: Aws) -> list[str]:
    """Return the images of all trainings, oldest first."""
    sagemaker = aws.client("sagemaker")
    jobs = sagemaker.list_training_jobs(SortBy="CreationTime", SortOrder="Ascending")["TrainingJobSummaries"]
    described: list[Any] = [sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"]) for job in jobs]
    return [job["AlgorithmSpecification"]["TrainingImage"].rpartition("/")[2] for job in described]


def test_texts_with_pytorch_then_with_a_transformer(tmp_path: Path, aws: Aws) -> None:
    cli = project_of_guide(PYTORCH, tmp_path, aws, "make_data.py", sections=("The data", "PyTorch"))
    out = cli("quickstart", "--yes")
    assert re.search(r"the courier lost my parcel .* 0\.[5-9]\d\d$|1\.000$", out, re.M)
    assert "gate: 2 passed, 0 failed" in cli("test-endpoint")
    assert training_images(aws) == ["pytorch-training:2.10-cpu-py313"]

    (cli.folder / "training" / "network.py").unlink()
    write_files(PYTORCH, cli.folder, "Hugging Face")
    cli("deploy-infra", "--yes")
    run = cli.json("run", "--yes")
    assert run["status"] == "waiting"
    assert cli.json("approve", run["id"], "--yes", "--comment", "a transformer")["status"] == "done"
    assert "gate: 2 passed, 0 failed" in cli("test-endpoint")
    assert training_images(aws)[1].startswith("huggingface-pytorch-training:2.9.0-transformers5.3.0-gpu-py312")
    sagemaker = aws.client("sagemaker")
    names = [model["ModelName"] for model in sagemaker.list_models()["Models"]]
    packages = [sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["ModelPackageName"] for name in names]
    specifications = [
        sagemaker.describe_model_package(ModelPackageName=package)["InferenceSpecification"] for package in packages
    ]
    assert any("huggingface-pytorch-inference" in each["Containers"][0]["Image"] for each in specifications)
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []


@pytest.mark.parametrize("framework", ["pytorch", "huggingface"])
def test_a_starter_runs_on_aws_at_once(tmp_path: Path, aws: Aws, framework: str) -> None:
    Cli(tmp_path)("init", "mine", "--framework", framework, "--aws", "--scripts-dir", "ml")
    cli = Cli(tmp_path / "mine", {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})
    cli("quickstart", "--yes")
    assert "gate: 2 passed, 0 failed" in cli("test-endpoint")
    assert training_images(aws)[0].startswith(framework_named(framework).training_repository)
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []
