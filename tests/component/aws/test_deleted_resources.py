"""Resources that are deleted or end while a command reads them: no command ends with an error of AWS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.cleanup.running_work import PipelineResources, RunningWork
from mlops_cli.backends.aws.cleanup.sagemaker import Jobs
from mlops_cli.backends.aws.clients.codebuild import stop_build
from mlops_cli.backends.aws.clients.model_registry import APPROVED, DELETED, PENDING, REJECTED, ModelRegistry
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.doctor.running_instances import UNKNOWN_TYPE, RunningInstances
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.runs.cost_estimate import UNKNOWN_INSTANCES, current_endpoint_items
from mlops_cli.errors import MlopsError

GROUP = "arn:aws:sagemaker:us-east-1:000000000000:model-package/tiny-dev"
CALL_AGAIN = "mlops run --from approval"


def refused(code: str, message: str) -> Any:
    def refuse(**_: Any) -> Any:
        raise AwsError(f"AWS refused it: {message}", "", code, message)

    return refuse


class Registry:
    """SageMaker's model registry with its packages' statuses. It also lists one that was just deleted."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = {f"{GROUP}/{name[1:]}": status for name, status in statuses.items()}
        bucket: Any = SimpleNamespace(metadata=lambda key: None, uri=lambda key: f"s3://b/{key}")
        client: Any = self
        self.registry = ModelRegistry(client, "tiny-dev", "image", bucket)

    def pages(self, operation: str, items: str, **_: Any) -> Any:
        return ({"ModelPackageArn": arn} for arn in [*self.statuses, f"{GROUP}/9"])

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        if ModelPackageName not in self.statuses:
            refused("ValidationException", f"ModelPackage {ModelPackageName} does not exist.")()
        return {"ModelPackageVersion": 1, "ModelApprovalStatus": self.statuses[ModelPackageName]}

    def update_model_package(self, ModelPackageArn: str, ModelApprovalStatus: str, **_: Any) -> None:
        assert ModelPackageArn in self.statuses
        self.statuses[ModelPackageArn] = ModelApprovalStatus


def test_a_deleted_model_package_has_a_status_of_its_own_and_is_not_listed() -> None:
    registry = Registry(v1=APPROVED).registry
    assert (registry.status(f"{GROUP}/1"), registry.status(f"{GROUP}/2")) == (APPROVED, DELETED)
    assert [package.arn for package in registry.packages()] == [f"{GROUP}/1"]


def test_a_rejection_passes_over_a_deleted_model_package() -> None:
    client = Registry(v1=APPROVED, v2=PENDING)
    client.registry.reject([f"{GROUP}/{number}" for number in (3, 1, 2)], "why")
    assert client.statuses == {f"{GROUP}/1": REJECTED, f"{GROUP}/2": PENDING}


@pytest.mark.parametrize("call", ["decide", "require_kept", "container"])
def test_a_deleted_model_package_is_named_with_the_command_for_another_one(call: str) -> None:
    arguments = {"decide": (True, "why"), "require_kept": ("a" * 64,), "container": ()}[call]
    with pytest.raises(MlopsError, match=f"The model package {GROUP}/2 was deleted") as caught:
        getattr(Registry().registry, call)(f"{GROUP}/2", *arguments)
    assert CALL_AGAIN in caught.value.hint


ENDED = {
    "builds": ("InvalidInputException", "Build cannot be stopped."),
    "training": ("ValidationException", "The request was rejected because the training job is in status Completed."),
    "processing": ("ResourceNotFound", "Could not find requested job."),
}


def test_a_build_that_ends_before_it_is_stopped_stays_as_it_is() -> None:
    listed = [["p:1"], []]
    client: Any = SimpleNamespace(
        pages=lambda operation, items, **_: listed[0] if operation == "list_builds_for_project" else [],
        batch_get_builds=lambda ids: {"builds": [{"id": name, "buildStatus": "IN_PROGRESS"} for name in listed.pop(0)]},
        stop_build=refused(*ENDED["builds"]),
    )
    account: Any = SimpleNamespace(client=lambda _: client)
    RunningWork(account, PipelineResources(projects=("p",))).remove()
    assert listed == [[]]


def test_a_build_that_may_not_be_stopped_is_an_error() -> None:
    client: Any = SimpleNamespace(stop_build=refused("AccessDeniedException", "no"))
    with pytest.raises(AwsError, match="AWS refused it: no"):
        stop_build(client, "p:1")


@pytest.mark.parametrize("kind", ["Training", "Processing"])
def test_a_job_that_ends_before_it_is_stopped_stays_as_it_is(kind: str) -> None:
    statuses = ["InProgress", "Completed", "Completed"]
    job = {f"{kind}JobName": "tiny-dev-1", f"{kind}JobArn": "arn"}
    tagged: Any = SimpleNamespace(named=lambda *_: [{**job, f"{kind}JobStatus": statuses.pop(0)}])
    client: Any = SimpleNamespace(raw=object(), **{f"stop_{kind.lower()}_job": refused(*ENDED[kind.lower()])})
    logs: Any = SimpleNamespace(pages=lambda *_, **__: [])
    Jobs(kind, client, logs, tagged).remove()
    assert statuses == []


def test_an_upload_that_has_ended_is_not_aborted() -> None:
    client: Any = SimpleNamespace(abort_multipart_upload=refused("NoSuchUpload", "The upload may have been completed."))
    Bucket(client, "b", "tiny-dev/").abort({"Key": "tiny-dev/data/dataset.csv", "UploadId": "1"})
    client.abort_multipart_upload = refused("AccessDenied", "no")
    with pytest.raises(AwsError, match="no"):
        Bucket(client, "b", "tiny-dev/").abort({"Key": "tiny-dev/data/dataset.csv", "UploadId": "1"})


MISSING = refused("ValidationException", 'Could not find endpoint configuration "tiny-dev-1".')


def endpoint(name: str) -> dict[str, Any]:
    if name == "deleted":
        refused("ValidationException", "Could not find endpoint.")()
    return {
        "EndpointArn": "arn",
        "EndpointConfigName": "tiny-dev-1",
        "EndpointStatus": "InService",
        "LastModifiedTime": SimpleNamespace(timestamp=lambda: 1.0),
        "ProductionVariants": [{"VariantName": "AllTraffic", "CurrentInstanceCount": 2}],
    }


def test_an_endpoint_without_its_configuration_is_billed_all_the_same() -> None:
    client: Any = SimpleNamespace(
        pages=lambda operation, items, **_: (
            [{"EndpointName": name} for name in ("deleted", "tiny-dev")] if operation == "list_endpoints" else []
        ),
        describe_endpoint=lambda EndpointName: endpoint(EndpointName),
        describe_endpoint_config=MISSING,
    )
    account: Any = SimpleNamespace(client=lambda _: client)
    (only,) = RunningInstances(SimpleNamespace(account=account)).endpoints  # type: ignore[arg-type]
    assert (only.name, only.bills, only.variants[0].kind) == ("tiny-dev", True, UNKNOWN_TYPE)
    assert current_endpoint_items(account, "tiny-dev") == ([], (UNKNOWN_INSTANCES,))
    assert current_endpoint_items(account, "deleted") == ([], ())
