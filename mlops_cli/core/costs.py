"""Costs as data: quantities, prices, sums, and limits. No IO.

An unknown price stays unknown: there is no default. Money is in US dollars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

HOURS_PER_MONTH = 730  # AWS's calculator uses the same number
DIGITS = 6


class Unit(str, Enum):
    """The unit of a price."""

    HOUR = "hour"
    MINUTE = "minute"
    MONTH = "month"


@dataclass(frozen=True)
class Price:
    """A price. ``published``: the date in AWS's price list; ``read_at``: the time of reading, in seconds."""

    amount: float
    unit: Unit
    published: str
    read_at: float


@dataclass(frozen=True)
class CostItem:
    """One resource: ``quantity`` units at ``price`` for each run, or all the time if ``is_recurring``.

    ``most``: the quantity up to which it scales by itself. ``unknown_reason``: why the price is missing.
    """

    resource: str
    quantity: float
    unit: Unit
    price: Price | None
    is_recurring: bool = False
    most: float = 0.0
    note: str = ""
    unknown_reason: str = ""

    @property
    def per_run(self) -> float | None:
        return None if self.is_recurring else self._at_price(self.quantity)

    @property
    def per_month(self) -> float | None:
        return self._monthly(self.quantity) if self.is_recurring else None

    @property
    def most_per_month(self) -> float | None:
        return self._monthly(max(self.quantity, self.most)) if self.is_recurring else None

    @property
    def per_hour(self) -> float | None:
        """The hourly price of an item that is billed by the hour."""
        return self._at_price(self.quantity) if self.is_recurring and self.unit is Unit.HOUR else None

    @property
    def most_per_hour(self) -> float | None:
        most = max(self.quantity, self.most)
        return self._at_price(most) if self.is_recurring and self.unit is Unit.HOUR else None

    def _monthly(self, quantity: float) -> float | None:
        return self._at_price(quantity * (HOURS_PER_MONTH if self.unit is Unit.HOUR else 1))

    def _at_price(self, quantity: float) -> float | None:
        return None if self.price is None else round(quantity * self.price.amount, DIGITS)


@dataclass(frozen=True)
class Costs:
    """Items with and without a price. ``by_use``: names of costs by use, which cannot be estimated."""

    lines: tuple[CostItem, ...] = ()
    by_use: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[CostItem, ...]:
        return tuple(line for line in self.lines if line.price is None)

    @property
    def prices(self) -> tuple[Price, ...]:
        return tuple(line.price for line in self.lines if line.price)

    @property
    def per_run(self) -> float:
        """The sum of the known prices. The other sums, too, include only known prices."""
        return _total(line.per_run for line in self.lines)

    @property
    def per_hour(self) -> float:
        return _total(line.per_hour for line in self.lines)

    @property
    def most_per_hour(self) -> float:
        return _total(line.most_per_hour for line in self.lines)

    @property
    def per_month(self) -> float:
        return _total(line.per_month for line in self.lines)

    @property
    def most_per_month(self) -> float:
        return _total(line.most_per_month for line in self.lines)


def _total(amounts: Iterable[float | None]) -> float:
    return round(math.fsum(amount for amount in amounts if amount is not None), DIGITS)


@dataclass(frozen=True)
class Limits:
    """Cost limits by the name of the setting. A missing entry is no limit."""

    amounts: Mapping[str, float] = field(default_factory=dict)

    def exceeded_limits(self, costs: Costs) -> list[str]:
        """Return, as text, the limits that the known costs exceed. A month is counted at the largest scale."""
        sums = (
            ("MAX_RUN_COST", "this run may cost {}", costs.per_run),
            ("MAX_MONTHLY_COST", "the endpoint may cost {} a month", costs.most_per_month),
        )
        return [
            f"{words.format(money(amount))}, more than {name} of {money(self.amounts[name])}"
            for name, words, amount in sums
            if name in self.amounts and amount > self.amounts[name]
        ]

    def limits_not_checkable(self, costs: Costs) -> list[str]:
        """Return the limits that the unknown items may exceed."""
        names = {"MAX_MONTHLY_COST" if line.is_recurring else "MAX_RUN_COST" for line in costs.unknown}
        return sorted(name for name in names if name in self.amounts)


CostCheck = Callable[[Costs], None]
"""Called before money is spent; raises MlopsError when it must not be."""


def no_cost_check(costs: Costs) -> None:
    """Accept any costs."""


def money(amount: float) -> str:
    """Return an amount with cents. Small amounts have more digits."""
    if amount == 0 or amount >= 10:
        return f"${amount:,.2f}"
    whole, parts = f"{amount:.4f}".split(".")
    return f"${whole}.{parts[:2]}{parts[2:].rstrip('0')}" if amount >= 0.00005 else "under $0.0001"
