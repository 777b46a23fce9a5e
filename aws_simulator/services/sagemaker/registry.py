"""The model registry: groups of model versions, which are pending, approved or rejected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, operation
from aws_simulator.services.sagemaker.common import arn_of, echoed, invalid, listing, now, require_tagging

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.tags import Tags as Base
else:
    Base = object

GROUP = "arn:aws:sagemaker:{region}:{account}:model-package-group/{ModelPackageGroupName}"


@dataclass
class Group:
    arn: str
    request: Request
    caller: str
    created: Any = field(default_factory=now)
    last_version: int = 0

    @property
    def name(self) -> str:
        return str(self.request["ModelPackageGroupName"])

    def summary(self) -> dict[str, Any]:
        description = self.request.get("ModelPackageGroupDescription")
        return {
            "ModelPackageGroupName": self.name,
            "ModelPackageGroupArn": self.arn,
            "CreationTime": self.created,
            "ModelPackageGroupStatus": "Completed",
            **({"ModelPackageGroupDescription": description} if description else {}),
        }


@dataclass
class Package:
    arn: str
    request: Request
    version: int
    created: Any = field(default_factory=now)
    modified: Any = None

    @property
    def approval(self) -> str:
        return str(self.request.get("ModelApprovalStatus", "PendingManualApproval"))

    @property
    def containers(self) -> list[dict[str, Any]]:
        return list(self.request["InferenceSpecification"]["Containers"])

    def summary(self) -> dict[str, Any]:
        description = self.request.get("ModelPackageDescription")
        return {
            "ModelPackageGroupName": self.request["ModelPackageGroupName"],
            "ModelPackageVersion": self.version,
            "ModelPackageArn": self.arn,
            "CreationTime": self.created,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": self.approval,
            **({"ModelPackageDescription": description} if description else {}),
        }

    def described(self, shape: Any) -> dict[str, Any]:
        return {
            **echoed(self.request, shape),
            **self.summary(),
            "ModelPackageName": self.request["ModelPackageGroupName"],
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": False,
            **({"LastModifiedTime": self.modified} if self.modified else {}),
        }


def group_arns(_: Any, request: Request, caller: Caller) -> list[str]:
    """Return the ARN of a group, which a request names by its name or ARN."""
    return [_group_arn(request["ModelPackageGroupName"], caller)]


def package_arns(_: Any, request: Request, caller: Caller) -> list[str]:
    name = request.get("ModelPackageName") or request["ModelPackageArn"]
    return [name if name.startswith("arn:") else arn_of(caller, "model-package", name)]


def new_package_arns(_: Any, request: Request, caller: Caller) -> list[str]:
    """Registering a version needs the permission on the group and on its packages."""
    group = _group_arn(request.get("ModelPackageGroupName", ""), caller)
    return [group, f"{group.replace(':model-package-group/', ':model-package/')}/*"]


def _group_arn(name: str, caller: Caller) -> str:
    return name if name.startswith("arn:") else arn_of(caller, "model-package-group", name)


def conditions(request: Request) -> dict[str, Any]:
    """Return the condition keys of sagemaker:CreateModelPackage and sagemaker:UpdateModelPackage."""
    properties = request.get("CustomerMetadataProperties", {})
    status = request.get("ModelApprovalStatus")
    return {
        **({"sagemaker:ModelApprovalStatus": status} if status else {}),
        **{f"sagemaker:CustomerMetadataProperties/{key}": value for key, value in properties.items()},
    }


class ModelRegistry(Base):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.groups: dict[str, Group] = {}
        self.packages: dict[str, Package] = {}

    @operation(GROUP)
    def create_model_package_group(self, request: Request, caller: Caller) -> dict[str, Any]:
        arn = arn_of(caller, "model-package-group", request["ModelPackageGroupName"])
        require_tagging(request, arn, caller)
        if arn in self.groups:
            raise invalid(f"Model Package Group already exists: {arn}")
        self.groups[arn] = Group(arn, request, caller.arn)
        self.tag(arn, request.get("Tags"))
        return {"ModelPackageGroupArn": arn}

    @operation(group_arns)
    def describe_model_package_group(self, request: Request, caller: Caller) -> dict[str, Any]:
        return {**self._group(request["ModelPackageGroupName"], caller).summary(), "CreatedBy": {}}

    @operation()
    def list_model_package_groups(self, request: Request, caller: Caller) -> dict[str, Any]:
        prefix = arn_of(caller, "model-package-group", "")
        rows = [group.summary() for arn, group in self.groups.items() if arn.startswith(prefix)]
        return listing(rows, request, "ModelPackageGroupSummaryList", "ModelPackageGroupName")

    @operation(group_arns)
    def delete_model_package_group(self, request: Request, caller: Caller) -> None:
        group = self._group(request["ModelPackageGroupName"], caller)
        if any(package.request["ModelPackageGroupName"] == group.name for package in self._packages(caller)):
            message = f"Model Package Group {group.arn} cannot be deleted because it still contains Model Packages."
            raise ServiceError("ConflictException", message)
        del self.groups[group.arn]
        self.tags.pop(group.arn, None)

    @operation(new_package_arns, context=conditions)
    def create_model_package(self, request: Request, caller: Caller) -> dict[str, Any]:
        if "ModelPackageGroupName" not in request or "InferenceSpecification" not in request:
            raise invalid("The simulator has only versioned model packages, with an InferenceSpecification.")
        group = self._group(request["ModelPackageGroupName"], caller)
        arn = arn_of(caller, "model-package", f"{group.name}/{group.last_version + 1}")
        if request.get("Tags"):
            raise invalid("Tags are not supported for a model package version; tag the model package group.")
        for container in request["InferenceSpecification"]["Containers"]:
            if not container.get("ModelDataUrl", "s3://").startswith("s3://"):
                raise invalid(f"Invalid ModelDataUrl: {container['ModelDataUrl']}")
        group.last_version += 1
        kept = {**request, "ModelPackageGroupName": group.name}
        self.packages[arn] = Package(arn, kept, group.last_version)
        return {"ModelPackageArn": arn}

    @operation(package_arns)
    def describe_model_package(self, request: Request, caller: Caller) -> dict[str, Any]:
        return self.package(package_arns(self, request, caller)[0]).described(self.shape("DescribeModelPackageOutput"))

    @operation(
        lambda _, request, caller: [f"{arn_of(caller, 'model-package', request.get('ModelPackageGroupName', ''))}/*"]
    )
    def list_model_packages(self, request: Request, caller: Caller) -> dict[str, Any]:
        name = request.get("ModelPackageGroupName", "").rpartition("/")[2]
        if name:
            self._group(request["ModelPackageGroupName"], caller)
        status = request.get("ModelApprovalStatus")
        packages = [package for package in self._packages(caller) if package.request["ModelPackageGroupName"] == name]
        rows = [
            {**package.summary(), "_arn": package.arn} for package in packages if status in (None, package.approval)
        ]
        return listing(rows, request, "ModelPackageSummaryList", "_arn")

    @operation(package_arns, context=conditions)
    def update_model_package(self, request: Request, caller: Caller) -> dict[str, Any]:
        package = self.package(request["ModelPackageArn"])
        metadata = {
            **package.request.get("CustomerMetadataProperties", {}),
            **request.get("CustomerMetadataProperties", {}),
        }
        for key in request.get("CustomerMetadataPropertiesToRemove", []):
            metadata.pop(key, None)
        changes = {name: request[name] for name in ("ModelApprovalStatus", "ApprovalDescription") if name in request}
        package.request = {
            **package.request,
            **changes,
            **({"CustomerMetadataProperties": metadata} if metadata else {}),
        }
        package.modified = now()
        return {"ModelPackageArn": package.arn}

    @operation(package_arns)
    def delete_model_package(self, request: Request, caller: Caller) -> None:
        del self.packages[self.package(package_arns(self, request, caller)[0]).arn]

    def package(self, arn: str) -> Package:
        package = self.packages.get(arn)
        if package is None:
            raise invalid(f"ModelPackage {arn} does not exist.")
        return package

    def _group(self, name: str, caller: Caller) -> Group:
        arn = _group_arn(name, caller)
        group = self.groups.get(arn)
        if group is None:
            raise invalid(f"ModelPackageGroup {arn} does not exist.")
        return group

    def _packages(self, caller: Caller) -> list[Package]:
        prefix = arn_of(caller, "model-package", "")
        return [package for arn, package in self.packages.items() if arn.startswith(prefix)]
