"""The declaration of a hyperparameter: the type of its value, a minimum and a maximum."""

from __future__ import annotations

import math
from dataclasses import dataclass

KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Declaration:
    """``kind``: the type of the value in the file. A text may be anything."""

    kind: type
    minimum: float = -math.inf
    maximum: float = math.inf

    def problem(self, text: str) -> str:
        """Return the problem of a value; "" if there is none."""
        if self.kind is bool:
            return "" if text.lower() in ("true", "false") else f"expected {KINDS[bool]}"
        if self.kind not in KINDS:
            return ""
        try:
            number = self.kind(text)
            is_finite = math.isfinite(number)
        except (ValueError, OverflowError):  # for a whole number with hundreds of digits
            is_finite = False
        if not is_finite:
            return f"expected {KINDS[self.kind]}"
        if number < self.minimum:
            return f"expected {self.minimum:g} or more"
        return f"expected {self.maximum:g} or less" if number > self.maximum else ""
