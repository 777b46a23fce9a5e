"""Models as versions and the way back to an earlier one, on the simulated AWS through the CLI."""

from __future__ import annotations

from typing import Any

import pytest

from tests.aws_simulator.fixture import aws, aws_server
from tests.e2e.test_aws_lifecycle import Cloud, cloud, project, statuses

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server", "cloud", "project"]


def live(cloud: Cloud) -> dict[str, Any]:
    return next(model for model in cloud.json("models") if model["is_live"])


def packages(cloud: Cloud) -> dict[str, str]:
    """How the packages stand, by the run that asked about them."""
    sagemaker = cloud.aws.client("sagemaker")
    listed = sagemaker.list_model_packages(ModelPackageGroupName="tiny-dev")["ModelPackageSummaryList"]
    found = [sagemaker.describe_model_package(ModelPackageName=one["ModelPackageArn"]) for one in listed]
    return {one["CustomerMetadataProperties"]["run"]: one["ModelApprovalStatus"] for one in found}


def test_versions_and_the_way_back(cloud: Cloud) -> None:
    first = cloud.ready().approved()
    second = cloud.approved("--set", "epochs=2")
    newest, oldest = cloud.json("models")
    assert [(one["version"], one["run"]) for one in (newest, oldest)] == [(2, second["id"]), (1, first["id"])]
    assert (newest["is_live"], newest["hyperparameters"]["epochs"]) == (True, "2")
    assert oldest["live"][0]["until"] == newest["live"][0]["since"]

    back = cloud.json("rollback", "--comment", "too rude", "--yes")
    assert (back["status"], back["decision"]["comment"]) == ("done", "rolled back to v1: too rude")
    assert statuses(back)["train"] == "reused"
    assert live(cloud)["version"] == 1
    assert cloud.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert packages(cloud) == {first["id"]: "Approved", second["id"]: "Rejected"}

    again = cloud.json("run", "--set", "epochs=2")
    assert again["status"] == "waiting", "what was rolled back never comes back unasked"
    assert cloud.json("approve", "--run-id", again["id"], "--yes")["status"] == "done"
    assert live(cloud)["version"] == 2


def test_a_model_that_fails_its_gate_is_rolled_back_by_itself(cloud: Cloud) -> None:
    first = cloud.ready().approved()
    digest = live(cloud)["digest"]
    gate = cloud.folder / "training" / "tests" / "test_posttraining.py"
    gate.write_text(
        gate.read_text()
        + "\n\ndef test_it_is_the_first_model():\n    import os\n"
        + f"    assert os.environ['MLOPS_MODEL_DIGEST'] == '{digest}', 'this model is no good'\n"
    )
    second = cloud.json("run", "--set", "epochs=2")
    _, err = cloud.both("approve", "--run-id", second["id"], "--yes", code=3)
    assert "this model is no good" in err
    assert "Rolled back: the endpoint serves the approved v1" in err
    assert live(cloud)["run"] == first["id"]
    newest, failed = cloud.json("runs")[:2]
    assert (newest["status"], failed["id"], failed["status"]) == ("done", second["id"], "failed")
