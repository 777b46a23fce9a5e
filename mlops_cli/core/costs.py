"""What something costs, as data: quantities at prices, their sums, and the limits they are held against. No IO.

A price is known or it is not; nothing here stands in for one. Money is in US dollars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

HOURS_PER_MONTH = 730  # as AWS's own calculator counts
DIGITS = 6


class Unit(str, Enum):
    """What a price is for one of."""

    HOUR = "hour"
    MINUTE = "minute"
    MONTH = "month"


@dataclass(frozen=True)
class Price:
    """``published`` is when the price list came out, in its own words; ``asked`` when it was read, in seconds."""

    amount: float
    unit: Unit
    published: str
    asked: float


@dataclass(frozen=True)
class CostItem:
    """One resource: ``quantity`` units at ``price``, once per run, or ``standing``: so many at any time.

    ``most`` is up to how many it scales by itself. ``why_unknown`` says why there is no price.
    """

    resource: str
    quantity: float
    unit: Unit
    price: Price | None
    standing: bool = False
    most: float = 0.0
    note: str = ""
    why_unknown: str = ""

    @property
    def per_run(self) -> float | None:
        return None if self.standing else self._at_price(self.quantity)

    @property
    def per_month(self) -> float | None:
        return self._monthly(self.quantity) if self.standing else None

    @property
    def most_per_month(self) -> float | None:
        return self._monthly(max(self.quantity, self.most)) if self.standing else None

    @property
    def per_hour(self) -> float | None:
        """Of what is billed by the hour."""
        return self._at_price(self.quantity) if self.standing and self.unit is Unit.HOUR else None

    @property
    def most_per_hour(self) -> float | None:
        most = max(self.quantity, self.most)
        return self._at_price(most) if self.standing and self.unit is Unit.HOUR else None

    def _monthly(self, quantity: float) -> float | None:
        return self._at_price(quantity * (HOURS_PER_MONTH if self.unit is Unit.HOUR else 1))

    def _at_price(self, quantity: float) -> float | None:
        return None if self.price is None else round(quantity * self.price.amount, DIGITS)


@dataclass(frozen=True)
class Costs:
    """Lines with a price and without; ``by_use`` names what costs by use, so that nobody can say it beforehand."""

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
        """The sum of what is known, as the others are."""
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
    """By the name of the setting; no limit is no entry."""

    amounts: Mapping[str, float] = field(default_factory=dict)

    def exceeded_limits(self, costs: Costs) -> list[str]:
        """In words, which limits what is known is above; a month counts at what it can scale to."""
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
        """The limits that the unknown lines may be above."""
        names = {"MAX_MONTHLY_COST" if line.standing else "MAX_RUN_COST" for line in costs.unknown}
        return sorted(name for name in names if name in self.amounts)


CostCheck = Callable[[Costs], None]
"""Called before money is spent; raises MlopsError when it must not be."""


def no_cost_check(costs: Costs) -> None:
    """The consent of whoever does not ask."""


def money(amount: float) -> str:
    """Cents, and of small amounts what is left of them, too."""
    if amount == 0 or amount >= 10:
        return f"${amount:,.2f}"
    whole, parts = f"{amount:.4f}".split(".")
    return f"${whole}.{parts[:2]}{parts[2:].rstrip('0')}" if amount >= 0.00005 else "under $0.0001"
