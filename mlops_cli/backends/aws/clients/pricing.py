"""Prices from AWS's Price List API, cached in the project for a day. No other module reads this API.

A price is used only if the list has exactly one: on demand, in US dollars, from the first unit on, per the expected
unit. On-demand prices do not include the free tier or discounts of the account.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.errors import raise_aws_errors
from mlops_cli.core.costs import Price, Unit
from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import read_json, write_atomically
from mlops_cli.processes.parallel import call_in_threads
from mlops_cli.project.paths import Project
from mlops_cli.project.state_dir import is_state_dir

FILE = "prices.json"
KEPT_SECONDS = 24 * 3600
AT_ONCE = 8
UNITS = {"hrs": Unit.HOUR, "hours": Unit.HOUR, "minutes": Unit.MINUTE, "alarms": Unit.MONTH}
# In older services, us-east-1 has no prefix: CW:AlarmMonitorUsage, but EUW1-CW:AlarmMonitorUsage elsewhere.
REGION_PREFIX = r"(?:[A-Z]+\d*-)?"


@dataclass(frozen=True)
class Product:
    """A priced product. ``usage``: the usage type on the bill, without the region in front of it."""

    service: str
    usage: str
    unit: Unit


@dataclass(frozen=True)
class Quote:
    """The price of a product, or the reason why there is none."""

    price: Price | None
    unknown_reason: str = ""


class Prices:
    """The prices in one account's region. It never raises: a product without a price has a reason instead."""

    def __init__(self, account: Account, project: Project) -> None:
        self._account = account
        self._cache = Cache(project)

    def quote(self, products: Iterable[Product]) -> dict[Product, Quote]:
        distinct = list(dict.fromkeys(products))
        region = self._account.region
        cached = {product: price for product in distinct if (price := self._cache.find(region, product))}
        quotes = self._query([product for product in distinct if product not in cached])
        self._cache.save(region, {product: quote.price for product, quote in quotes.items() if quote.price})
        return {product: quotes.get(product) or Quote(cached[product]) for product in distinct}

    def _query(self, products: list[Product]) -> dict[Product, Quote]:
        """Query the first product alone: an error or a timeout is then the result for all, without waiting again."""
        if not products:
            return {}
        first = self._quote(products[0])
        if first.price is None and not first.unknown_reason.startswith(LACKING):
            return dict.fromkeys(products, first)
        later = call_in_threads(self._quote, products[1:], AT_ONCE)
        return dict(zip(products, [first, *later], strict=True))

    def _quote(self, product: Product) -> Quote:
        try:
            client = self._account.client("pricing", self._region)
            offers = [json.loads(item) for item in client.pages("get_products", "PriceList", **self._filters(product))]
            return quote(product, offers, time.time())
        except MlopsError as error:
            return Quote(None, error.message)
        except (AttributeError, KeyError, TypeError, ValueError):
            return Quote(None, f"{LACKING} an unexpected answer for {product.usage}.")

    def _filters(self, product: Product) -> dict[str, Any]:
        return {
            "ServiceCode": product.service,
            "Filters": [
                {"Type": "TERM_MATCH", "Field": "regionCode", "Value": self._account.region},
                {"Type": "CONTAINS", "Field": "usagetype", "Value": product.usage},
            ],
        }

    @property
    def _region(self) -> str:
        """Return the nearest API region on the same continent. The API has few regions; each has all prices."""
        session, ours = self._account.session, self._account.region
        with raise_aws_errors(None, self._account.profile):
            homes = session.get_available_regions("pricing", session.get_partition_for_region(ours)) or ["us-east-1"]
        near = [home for home in homes if home.split("-")[0] == ours.split("-")[0]]
        return str((near or [home for home in homes if home == "us-east-1"] or homes)[0])


LACKING = "AWS's price list has"


def quote(product: Product, offers: list[dict[str, Any]], requested_at: float) -> Quote:
    """Return the product's price from the API's responses. Two different prices count as none."""
    usage = re.compile(REGION_PREFIX + re.escape(product.usage))
    ours = [offer for offer in offers if usage.fullmatch(offer["product"]["attributes"].get("usagetype", ""))]
    prices = {price for offer in ours for price in _prices(offer, product.unit, requested_at)}
    amounts = {price.amount for price in prices}
    if len(amounts) == 1:
        return Quote(min(prices, key=lambda price: price.published))
    problem = "several prices" if amounts else "no price"
    return Quote(None, f"{LACKING} {problem} for {product.usage} here.")


def _prices(offer: Mapping[str, Any], unit: Unit, requested_at: float) -> Iterable[Price]:
    for term in offer.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            amount = dimension["pricePerUnit"].get("USD")
            first = dimension.get("beginRange", "0") == "0"
            if amount is not None and first and UNITS.get(dimension["unit"].lower()) is unit:
                yield Price(float(amount), unit, offer.get("publicationDate", ""), requested_at)


class Cache:
    """Prices in a file in the project's .mlops/, if the folder exists."""

    def __init__(self, project: Project) -> None:
        self._project = project

    @property
    def path(self) -> Path:
        return self._project.state / FILE

    def find(self, region: str, product: Product) -> Price | None:
        """Return a price that was read within the last day."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            values = (read_json(self.path) or {})[_key(region, product)]
            price = Price(**{**values, "unit": Unit(values["unit"])})
            if 0 <= time.time() - price.read_at < KEPT_SECONDS:
                return price
        return None

    def save(self, region: str, prices: Mapping[Product, Price]) -> None:
        """Save the prices. If the folder is not writable, the next command reads them again."""
        if not prices or not is_state_dir(self._project):
            return
        named = {_key(region, product): asdict(price) for product, price in prices.items()}
        with contextlib.suppress(OSError):
            write_atomically(self.path, json.dumps({**(read_json(self.path) or {}), **named}, indent=1))


def _key(region: str, product: Product) -> str:
    return f"{region} {product.service} {product.usage}"
