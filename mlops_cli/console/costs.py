"""Costs as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_cli.console.formatting import format_datetime, iso
from mlops_cli.core.costs import CostItem, Costs, Unit, money

if TYPE_CHECKING:
    from mlops_cli.console.console import Console


def costs_dict(costs: Costs) -> dict[str, Any]:
    return {
        "currency": "USD",
        "per_run": costs.per_run,
        "per_hour": costs.per_hour,
        "per_month": costs.per_month,
        "most_per_hour": costs.most_per_hour,
        "most_per_month": costs.most_per_month,
        "complete": not costs.unknown,
        "by_use": list(costs.by_use),
        "lines": [_item_dict(line) for line in costs.lines],
    }


def _item_dict(line: CostItem) -> dict[str, Any]:
    price = line.price
    return {
        "resource": line.resource,
        "quantity": line.quantity,
        "unit": line.unit.value,
        "price": price.amount if price else None,
        "published": price.published if price else None,
        "read_at": iso(price.read_at) if price else None,
        "per_run": line.per_run,
        "per_hour": line.per_hour,
        "per_month": line.per_month,
        "most_per_month": line.most_per_month,
        "note": line.note,
        "unknown_reason": line.unknown_reason,
    }


def show_costs(console: Console, costs: Costs, heading: str, origin: str = "") -> None:
    """Show a table, its prices' date or ``origin``, the items not in it, and why prices are missing.

    Show nothing if there are no costs.
    """
    if not costs.lines and not costs.by_use:
        return
    if costs.lines and not console.as_json:
        console.show(_table(costs, heading))
    if costs.prices:
        origin = origin or f"AWS's price list, {_times(costs)}"
        console.say(f"prices: {origin}; without taxes, free tiers and discounts")
    if costs.by_use:
        console.say(f"not included, billed by use: {'; '.join(costs.by_use)}")
    for why in dict.fromkeys(line.unknown_reason for line in costs.unknown):
        console.say(f"price unknown: {why}")


def _table(costs: Costs, heading: str) -> Any:
    from mlops_cli.console.cells import styled, table

    grid = table(heading, "quantity", "price", "a run", "an hour", "a month", "")
    for line in costs.lines:
        grid.add_row(
            line.resource,
            _quantity(line),
            f"{_unit_price(line.price.amount)} / {line.unit.value}" if line.price else "unknown",
            _amount(line.per_run),
            _span(line.per_hour, line.most_per_hour),
            _span(line.per_month, line.most_per_month),
            line.note,
        )
    sums = (
        (costs.per_run, costs.per_run),
        (costs.per_hour, costs.most_per_hour),
        (costs.per_month, costs.most_per_month),
    )
    total = "total" if not costs.unknown else "total, without unknown prices"
    grid.add_row(
        styled(total, "bold"), "", "", *(styled(_span(*bounds), "bold") if bounds[1] else "-" for bounds in sums), ""
    )
    for column in grid.columns[1:-1]:
        column.justify = "right"
    return grid


def _quantity(line: CostItem) -> str:
    """Return the quantity as text: a number of instances or a time, in minutes up to an hour."""
    if line.is_recurring:
        return f"{line.quantity:,g}"
    if line.unit is Unit.HOUR and line.quantity >= 1:
        return f"{line.quantity:,.1f} h"
    return f"{line.quantity * (60 if line.unit is Unit.HOUR else 1):,.1f} min"


def _unit_price(amount: float) -> str:
    """Return the price with all of its digits, and at least cents."""
    return f"${amount:,.2f}" if amount == round(amount, 2) else f"${amount:,.10g}"


def _span(low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high:
        return _amount(low)
    return f"{money(low)} to {money(high)}"


def _amount(value: float | None) -> str:
    return "-" if value is None else money(value)


def _times(costs: Costs) -> str:
    days = sorted({price.published[:10] for price in costs.prices if price.published})
    published = f"published {' to '.join(dict.fromkeys((days[0], days[-1])))}, " if days else ""
    return f"{published}read {format_datetime(min(price.read_at for price in costs.prices))}"
