"""Projects of `mlops init` and of the guides, from the data to the cleanup, on the simulated AWS."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import Cli
from tests.e2e.test_guide import text_of, write_files
from tests.e2e.test_own_usecase import share_code

pytestmark = pytest.mark.slow


def test_a_scikit_learn_project_on_aws(tmp_path: Path, aws: Aws) -> None:
    """Its folder is one of several in a repository, and its scripts import a package above it.

    The scripts are in ml/. The folder training/ beside it has other content.
    """
    repository = tmp_path / "shop"
    notes = repository / "models" / "churn" / "training" / "plan.md"
    notes.parent.mkdir(parents=True)
    notes.write_text("Monday: swimming\n")
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    Cli(repository)("init", "models/churn", "--framework", "sklearn", "--aws", "--scripts-dir", "ml")
    settings = {**aws.environment, "MLOPS_TARGET": "aws"}
    cli = Cli(repository / "models" / "churn", {**settings, "SOURCE": "s3"})
    share_code(cli, "ml", "../../src")
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
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

    s3 = aws.client("s3")
    bucket = next(each["Name"] for each in s3.list_buckets()["Buckets"] if "churn" in each["Name"])
    keys = [
        each["Key"]
        for each in s3.list_objects_v2(Bucket=bucket)["Contents"]
        if re.search("/runs/|/decisions/.*json", each["Key"])
    ]
    records = "".join(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys)
    assert r'"trial_answer": "{\"predictions\"' in records or '"trial_answer": "[[' in records, records[-3000:]
    for name in ("ml/train.py", "ml/inference.py", "ml/requirements.txt", "../../src/shop/features.py"):
        assert f'"{name}"' in records, "a cache input"
    assert "training/" not in records

    check_failed_trial(cli, aws)
    use_case = cli.folder / "usecase.toml"
    use_case.write_text(use_case.read_text().replace('framework = "sklearn"', 'framework = "xgboost"'))
    _, err = cli.both("run", "--from", "train", code=3)
    assert "and the pipeline was deployed with the image" in " ".join(err.split())
    assert "mlops deploy-infra" in err
    use_case.write_text(use_case.read_text().replace('framework = "xgboost"', 'framework = "sklearn"'))

    push(repository, aws)
    arn = "arn:aws:codeconnections:us-east-1:123456789012:connection/1a2b"
    own = {"SOURCE": "connection", "CONNECTION_ARN": arn, "FULL_REPOSITORY_ID": "me/shop"}
    connected = Cli(cli.folder, {**settings, **own})
    connected("deploy-infra", "--yes")
    run = connected.json("run")
    assert run["status"] == "done"
    assert {stage["name"]: stage["status"] for stage in run["stages"]}["train"] == "reused", "the same code"

    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []


def test_an_xgboost_project_on_aws(tmp_path: Path, aws: Aws) -> None:
    Cli(tmp_path)("init", "trees", "--framework", "xgboost", "--aws")
    cli = Cli(tmp_path / "trees", {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})
    rows = [line for line in cli("quickstart", "--yes").splitlines() if line.startswith("months ")]
    leaves, stays = (float(row.split()[-1]) for row in rows)
    assert leaves > 0.5 > stays

    sagemaker = aws.client("sagemaker")
    (job,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert "/sagemaker-xgboost:3.2-0" in job["AlgorithmSpecification"]["TrainingImage"]
    assert job["HyperParameters"]["rounds"] == "40"
    (model,) = sagemaker.list_models()["Models"]
    model = sagemaker.describe_model(ModelName=model["ModelName"])
    package = sagemaker.describe_model_package(ModelPackageName=model["PrimaryContainer"]["ModelPackageName"])
    assert package["CustomerMetadataProperties"]["framework"] == "xgboost"
    (container,) = package["InferenceSpecification"]["Containers"]
    assert "/sagemaker-xgboost:3.2-0" in container["Image"]
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []


def check_failed_trial(cli: Cli, aws: Aws) -> None:
    """A model that does not answer the examples fails the training stage; the model in service stays."""
    handlers = cli.folder / "ml" / "inference.py"
    before, wrong = handlers.read_text(), "def output_fn(chances: Any, accept: str) -> tuple[str, str]:\n"
    assert wrong in before
    line = before[: before.index(wrong)].count("\n") + 2
    handlers.write_text(before.replace(wrong, f"{wrong}    raise KeyError('no answer')\n"))
    _, err = cli.both("run", code=3)
    told = " ".join(err.split())
    assert (
        "The trained model cannot be served: it does not answer example 1 of [endpoint] in usecase.toml, " in told
        and f": KeyError: 'no answer' (code/inference.py, line {line}, in output_fn)" in told
    )
    assert "hint: Fix it, then continue: mlops run" in told
    run = cli.json("status")["run"]
    assert next(stage["status"] for stage in run["stages"] if stage["name"] == "train") == "failed"
    assert "KeyError: 'no answer'" in cli("logs", run["id"], "--stage", "train"), "that of the job that has tried it"
    jobs = aws.client("sagemaker").list_processing_jobs(NameContains="--trial-")["ProcessingJobSummaries"]
    described = aws.client("sagemaker").describe_processing_job(ProcessingJobName=jobs[0]["ProcessingJobName"])
    assert "/sagemaker-scikit-learn:1.9-0-cpu-py3" in described["AppSpecification"]["ImageUri"]
    handlers.write_text(before)


def push(repository: Path, aws: Aws) -> None:
    """Commit everything, and push it to the repository me/shop of the simulated GitHub."""
    aws.control("github-push", repository="me/shop", files={"README.md": "before"})
    (remote,) = (aws.folder / "github").glob("me-shop-*.git")
    author = ("-c", "user.name=me", "-c", "user.email=me@example.com")
    for command in (["commit", "-qm", "all"], ["remote", "add", "origin", str(remote)]):
        subprocess.run(["git", *author, *command], cwd=repository, check=True)
    subprocess.run(["git", "push", "-q", "--force", "origin", "HEAD:main"], cwd=repository, check=True)


def project_of_guide(page: str, folder: Path, aws: Aws, *make_data: str, sections: Sequence[str] = ("",)) -> Cli:
    """Return the project of a guide, in an AWS account. ``sections``: use only these parts of the guide."""
    init = re.search(r"^\$ mlops init (\S+) (.*)$", text_of(page), re.M)
    assert init
    Cli(folder)("init", init[1], *init[2].split(), "--aws")
    project = folder / init[1]
    for section in sections:
        write_files(page, project, section)
    subprocess.run([sys.executable, *make_data], cwd=project, check=True)
    return Cli(project, {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})


def test_the_forecast_of_the_guide_on_aws(tmp_path: Path, aws: Aws) -> None:
    cli = project_of_guide("guides/forecast.md", tmp_path, aws, "make_data.py", "400")
    own = "210987654321.dkr.ecr.us-east-1.amazonaws.com/shops/xgboost:7"
    use_case = cli.folder / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text().replace("[model]\n", f'[model]\nserving_image = "{own}"\n', 1))
    out = cli("quickstart", "--yes")
    assert "dataset: data, 4 files" in out
    assert "day 2025-06-02, holidays ['2025-06-03']" in out
    assert "gate: 3 passed, 0 failed" in cli("test-endpoint")

    sales = cli.folder / "data" / "sales-village.csv"
    sales.write_text(sales.read_text().replace("2024-01-03,", "2024-01-33,"))
    _, err = cli.both("download-data", code=1)
    assert 'sales-village.csv line 4, column day: "2024-01-33" is not a date' in err

    (job,) = aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    job = aws.client("sagemaker").describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert "/sagemaker-xgboost:3.2-0" in job["AlgorithmSpecification"]["TrainingImage"]
    (model,) = aws.client("sagemaker").list_models()["Models"]
    model = aws.client("sagemaker").describe_model(ModelName=model["ModelName"])
    package = aws.client("sagemaker").describe_model_package(
        ModelPackageName=model["PrimaryContainer"]["ModelPackageName"]
    )
    assert package["InferenceSpecification"]["Containers"][0]["Image"] == own
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []


def test_the_pictures_of_the_guide_on_aws(tmp_path: Path, aws: Aws) -> None:
    cli = project_of_guide("guides/images.md", tmp_path, aws, "make_images.py", "80")
    own = "210987654321.dkr.ecr.us-east-1.amazonaws.com/shapes/training:7"
    use_case = cli.folder / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text().replace("[metrics]", f'[model]\ntraining_image = "{own}"\n\n[metrics]', 1))
    cli("deploy-infra", "--yes")
    data = cli.json("download-data")
    assert (data["source"], data["files"]) == ("images", 240)
    run = cli.json("run")
    assert run["status"] == "waiting"
    assert cli.json("approve", run["id"], "--yes", "--comment", "the first")["status"] == "done"
    out = cli("test-endpoint")
    circle, square = (
        [float(cell) for cell in row.split()[-3:]] for row in out.splitlines() if row.startswith("b64 iV")
    )
    assert circle[0] > 0.5
    assert square[2] > 0.5
    assert "gate: 2 passed, 0 failed" in out

    sagemaker = aws.client("sagemaker")
    (job,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert job["AlgorithmSpecification"]["TrainingImage"] == own
    (model,) = sagemaker.list_models()["Models"]
    assert sagemaker.describe_model(ModelName=model["ModelName"])["EnableNetworkIsolation"] is True
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert aws.denials() == []
