"""Generated names that are too long: CloudFormation shortens both the stack's name and the logical ID."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

LONGER_THAN_ANY = 1000


def install() -> None:
    whole_name = provisioners._physical_name

    def physical_name(stack_name: str, logical_id: str, *, max_len: int = 128, **how: Any) -> str:
        name = whole_name(stack_name, logical_id, max_len=LONGER_THAN_ANY, **how)
        return shortened(name, len(stack_name), max_len)

    provisioners._physical_name = physical_name


def shortened(name: str, stack_length: int, longest: int) -> str:
    """Return STACK-LOGICALID-SUFFIX within ``longest``. The suffix stays; the two parts before share the rest."""
    if len(name) <= longest:
        return name
    stack, (logical_id, suffix) = name[:stack_length], name[stack_length + 1 :].rsplit("-", 1)
    available = longest - len(suffix) - 2
    stack = stack[: max(available // 2, available - len(logical_id))]
    return f"{stack}-{logical_id[: available - len(stack)]}-{suffix}"
