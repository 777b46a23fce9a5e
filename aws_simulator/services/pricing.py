"""The Price List API: GetProducts with a few products, at their list prices in us-east-1 of 2026.

Each product exists in two regions. The control ``price`` (usage, amount) sets the price of a usage type in both.
Without an amount it removes the product, and ``reset`` restores everything.
"""

from __future__ import annotations

import json
from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, Service, operation, page
from aws_simulator.simulator import Simulator

PUBLISHED = "2026-11-20T17:21:33Z"
PREFIXES = {"us-east-1": "USE1-", "eu-west-1": "EU-"}
# Usage types that have no prefix in us-east-1.
BARE = ("CW:AlarmMonitorUsage",)
# Usage type → service, unit, price in us-east-1.
PRODUCTS = {
    **{
        f"{kind}:{instance}": ("AmazonSageMaker", "Hrs", price)
        for instance, price in (("ml.m5.large", "0.115"), ("ml.m5.xlarge", "0.23"), ("ml.g5.xlarge", "1.408"))
        for kind in ("Train", "Processing", "Host")
    },
    "Build-Min:Linux:g1.small": ("CodeBuild", "minutes", "0.005"),
    "Build-Min:Linux:g1.small.reserved": ("CodeBuild", "minutes", "0.001"),
    "actionExecutionMinute": ("AWSCodePipeline", "minutes", "0.002"),
    "CW:AlarmMonitorUsage": ("AmazonCloudWatch", "Alarms", "0.1"),
}
ABROAD = 1.1


class Pricing(Service):
    name = "pricing"
    validation_error = "InvalidParameterException"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.changed: dict[str, str] = {}

    @operation()
    def get_products(self, request: Request, caller: Caller) -> dict[str, Any]:
        if caller.region not in ("us-east-1", "eu-central-1", "ap-south-1"):
            raise ServiceError("InternalErrorException", f"There is no Price List API in {caller.region}.", 500)
        every = [item for usage in PRODUCTS for item in self._items(usage)]
        products = [
            json.dumps(item)
            for item in every
            if item["serviceCode"] == request["ServiceCode"] and _matches(item, request.get("Filters") or [])
        ]
        found_page = page(products, request, "PriceList", "MaxResults", "NextToken", bad="InvalidNextTokenException")
        return {"FormatVersion": "aws_v1", **found_page}

    def change(self, usage: str, amount: str = "") -> None:
        assert usage in PRODUCTS, f"there is no {usage}; there are {', '.join(PRODUCTS)}"
        self.changed[usage] = amount

    def _items(self, usage: str) -> list[dict[str, Any]]:
        service, unit, price = PRODUCTS[usage]
        amount = self.changed.get(usage, price)
        return [_item(service, usage, unit, amount, region) for region in PREFIXES] if amount else []


def _item(service: str, usage: str, unit: str, amount: str, region: str) -> dict[str, Any]:
    """Return one product of a price list, nested as by AWS."""
    sku = f"{abs(hash((usage, region))):016X}"[:16]
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    regional = amount if region == "us-east-1" else f"{float(amount) * ABROAD:.10f}"
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "description": f"${regional} per {unit} of {usage} in {region}",
        "appliesTo": [],
        "rateCode": rate,
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{float(regional):.10f}"},
    }
    bare = usage in BARE and region == "us-east-1"
    attributes = {
        "regionCode": region,
        "servicecode": service,
        "locationType": "AWS Region",
        "usagetype": usage if bare else f"{PREFIXES[region]}{usage}",
        "operation": "RunInstance" if ":ml." in usage else "",
    }
    return {
        "product": {"productFamily": service, "attributes": attributes, "sku": sku},
        "serviceCode": service,
        "terms": {
            "OnDemand": {
                term: {
                    "priceDimensions": {rate: dimension},
                    "sku": sku,
                    "effectiveDate": "2026-11-01T00:00:00Z",
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
            }
        },
        "version": "20261120172133",
        "publicationDate": PUBLISHED,
    }


def _matches(item: dict[str, Any], filters: list[dict[str, str]]) -> bool:
    attributes = item["product"]["attributes"]
    conditions = (
        (condition["Type"], attributes.get(condition["Field"], ""), condition["Value"]) for condition in filters
    )
    return all(expected in value if kind == "CONTAINS" else expected == value for kind, value, expected in conditions)


def register(simulator: Simulator) -> None:
    service = Pricing(simulator)
    simulator.add_service(service)
    simulator.add_control("price", lambda body: service.change(**body))
    simulator.on_reset(service.changed.clear)
