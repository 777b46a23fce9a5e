"""The approval of costs before money is spent: show them, compare them with the limits, ask if they are unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlops_cli.console import Console
from mlops_cli.console.costs import costs_dict, show_costs
from mlops_cli.core.costs import Costs, Limits
from mlops_cli.errors import ConfigurationError, MlopsError

NOTHING = "Nothing was started."


@dataclass
class CostApproval:
    """The cost approval of one command. ``yes_cost``: accepts any amount. ``costs``: the last shown costs."""

    console: Console
    limits: Limits
    yes: bool = False
    yes_cost: bool = False
    costs: Costs = field(default_factory=Costs)

    def show(self, costs: Costs, heading: str = "may cost") -> None:
        self.costs = costs
        show_costs(self.console, costs, heading)

    def approve(self, costs: Costs, heading: str = "may cost") -> None:
        """Show the costs. Raise ConfigurationError, with figures and a fix, unless they may be spent."""
        self.show(costs, heading)
        if self.yes_cost:
            return
        above = self.limits.exceeded_limits(costs)
        if above:
            raise ConfigurationError(f"{_sentence(above)} {NOTHING}", self._hint(above))
        if costs.unknown:
            self._ask(costs)

    def _ask(self, costs: Costs) -> None:
        """Ask about a limit that cannot be checked. --yes does not answer this question; only a person can."""
        missing = ", ".join(line.resource for line in costs.unknown)
        limits = self.limits.limits_not_checkable(costs)
        if self.yes and not limits:
            return
        if self.yes or not self.console.has_person:
            also = f", so {' and '.join(limits)} cannot be checked" if limits else ""
            raise ConfigurationError(
                f"The cost is unknown ({missing}){also}. {NOTHING}",
                f"To continue anyway: {self._repeated('--yes-cost' if limits else '--yes')}",
            )
        if not self.console.confirm(f"The cost is unknown ({missing}). Continue anyway?", yes=False):
            raise MlopsError(
                NOTHING, f"Allow pricing:GetProducts, or continue without a price: {self._repeated('--yes-cost')}"
            )

    def _hint(self, above: list[str]) -> str:
        names = [name for name in ("MAX_RUN_COST", "MAX_MONTHLY_COST") if any(name in excess for excess in above)]
        other = f"Raise {' and '.join(names)}, or choose other instance types."
        return f"{other} Or continue anyway: {self._repeated('--yes-cost')}"

    def _repeated(self, option: str) -> str:
        return self.console.command_line.repeated(option)

    def to_dict(self) -> dict[str, Any]:
        return costs_dict(self.costs)


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
