"""Service Quotas of SageMaker: the values set by the control ``sagemaker-quota``, and defaults of instance types.

Quotas of instance types are found by name, as on AWS, where their codes follow no rule. A quota that was set is an
applied quota. The others have only AWS's default; ListServiceQuotas of AWS leaves out some of them, here all.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, Service, operation, page

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker import SageMaker
    from aws_simulator.simulator import Simulator

DEFAULT = 4.0
TYPES = ("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge", "ml.g5.xlarge")
USES = (
    "training job usage", "spot training job usage", "processing job usage", "endpoint usage", "transform job usage",
    "training warm pool usage", "notebook instance usage",
)  # fmt: skip
PAGE = 10
"""Smaller than AWS's, so that quotas lie on several pages."""


class ServiceQuotas(Service):
    name = "service-quotas"
    prefix = "servicequotas"
    endpoint = "servicequotas"
    validation_error = "IllegalArgumentException"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        sagemaker: Any = simulator.services["sagemaker"]
        self.sagemaker: SageMaker = sagemaker

    @operation("*")
    def list_service_quotas(self, request: Request, caller: Caller) -> dict[str, Any]:
        return self._page(self.sagemaker.pace.quotas(), request, caller)

    @operation("*", action="servicequotas:ListAWSDefaultServiceQuotas")
    def list_aws_default_service_quotas(self, request: Request, caller: Caller) -> dict[str, Any]:
        return self._page({f"{kind} for {use}": DEFAULT for kind in TYPES for use in USES}, request, caller)

    def _page(self, quotas: dict[str, float], request: Request, caller: Caller) -> dict[str, Any]:
        if request["ServiceCode"] != "sagemaker":
            raise ServiceError("NoSuchResourceException", f"The service {request['ServiceCode']} is not known.")
        rows = [_quota(name, value, caller) for name, value in sorted(quotas.items())]
        return page(rows, request, "Quotas", "MaxResults", "NextToken", PAGE, bad="InvalidPaginationTokenException")


def _quota(name: str, value: float, caller: Caller) -> dict[str, Any]:
    code = "L-" + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
    return {
        "ServiceCode": "sagemaker",
        "ServiceName": "Amazon SageMaker",
        "QuotaArn": f"arn:aws:servicequotas:{caller.region}:{caller.account}:sagemaker/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def register(simulator: Simulator) -> None:
    simulator.add_service(ServiceQuotas(simulator))
