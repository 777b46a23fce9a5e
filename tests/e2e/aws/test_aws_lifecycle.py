"""The whole lifecycle on the simulated AWS through the CLI, which has only an endpoint URL and test credentials."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import ROOT
from tests.harness.cloud import Cloud, everything, git, project
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
__all__ = ["project"]


def test_from_deploying_to_cleaning_up(project: Path, aws: Aws) -> None:
    (project / ".gitignore").write_text(".env\n.mlops/\nreached-*\n*.csv\n__pycache__\n")
    use_case = project / "training" / "usecase.toml"
    use_case.write_text(f"{use_case.read_text()}\n[aws.endpoint]\nmax_instances = 2\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    cloud = Cloud(project, aws)
    assert "CREATE_COMPLETE" in cloud("deploy-infra", "--yes")
    assert cloud.json("runs") == [], "the execution that CodePipeline starts by itself is no run"
    cloud("download-data", "--source", "tiny.csv")

    out = cloud("run")
    (run,) = cloud.json("runs")
    assert f"next: mlops approve {run['id']}" in out
    assert "Evidence for run" in out
    status = cloud.json("status")
    assert (status["run"]["status"], status["endpoint"]["state"]) == ("waiting", "absent")

    done = cloud.json("approve", "--run-id", run["id"][:8], "--comment", "fine", "--yes")
    assert set(statuses(done).values()) == {"done"}
    assert (done["status"], done["decision"]["comment"], done["decision"]["actor"]["name"]) == ("done", "fine", "root")
    assert done["evidence"]["metrics"]["long"]["roc_auc"] == pytest.approx(0.6)

    scaling = aws.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["ResourceId"], target["MaxCapacity"]) == ("endpoint/tiny-dev/variant/AllTraffic", 2)
    tags = scaling.list_tags_for_resource(ResourceARN=target["ScalableTargetARN"])["Tags"]
    assert tags["mlops:endpoint"] == "tiny-dev", "by this tag the role that deploys may change it"
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["ResourceId"] == target["ResourceId"]

    result = cloud.json("test-endpoint", "--text", "hello", "--text", "you")
    assert [scores["long"] for _, scores in result["probe"]["rows"]] == [5.0, 3.0]
    assert result["endpoint"]["is_what_was_approved"] is True
    assert result["gate"] == {"passed": 1, "failed": 0, "failures": [], "unfinished": ""}

    second_run = cloud.json("run")
    assert (second_run["id"], second_run["changed"]) == (run["id"], False)

    cloud.edit("train.py", "0.4 + 0.2", "0.5 + 0.2")
    explained = cloud("run", "--explain")
    assert "training/train.py changed" in explained
    assert f"unchanged since run {run['id']}" in explained
    second = cloud.json("status")["run"]
    assert statuses(second)["preprocess"] == "reused"
    assert f"of run {run['id']}" in cloud("approve", "--run-id", second["id"], "--yes")
    live = cloud.json("status")["endpoint"]
    assert live["is_what_was_approved"] is True
    assert live["live_digest"] == {stage["name"]: stage["output"] for stage in second["stages"]}["train"]
    assert [run["status"] for run in cloud.json("runs")] == ["done", "done"]
    assert "progress 1/1 epoch 1" in cloud("logs", second["id"], "--stage", "train")
    (kept,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert kept["ScalableTargetARN"] == target["ScalableTargetARN"]
    assert aws.denials() == []

    assert "verified: no resources created by mlops remain" in cloud("cleanup", "--yes")
    assert {kind: resources for kind, resources in everything(aws).items() if resources} == {}
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert (project / "tiny.csv").exists()
    assert "nothing to remove" in cloud("cleanup", "--yes")


def test_the_comments_use_case_on_its_sample(project_folder: Path, aws: Aws) -> None:
    """Preprocessing, training, serving and gates are real, as jobs and steps on AWS."""
    shutil.copytree(ROOT / "templates", project_folder / "templates")
    cloud = Cloud(project_folder, aws, SOURCE="s3")
    cloud.accept_slow_answers()
    cloud("deploy-infra", "--yes")
    cloud("download-data", "--source", "sample", "--rows", "8000")
    run = cloud.json("run")
    assert run["status"] == "waiting"
    done = cloud.json("approve", "--run-id", run["id"], "--comment", "on the sample", "--yes")
    assert set(statuses(done).values()) == {"done"}
    assert done["evidence"]["data"]["synthetic"] is True
    result = cloud.json("test-endpoint", "--text", "You are a stupid idiot.")
    ((_, scores),) = result["probe"]["rows"]
    assert scores["toxic"] > 0.5
    assert (result["gate"]["failed"], result["endpoint"]["is_what_was_approved"]) == (0, True)
    assert "verified: no resources created by mlops remain" in cloud("cleanup", "--yes")
