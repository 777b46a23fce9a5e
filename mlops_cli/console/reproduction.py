"""The comparison of a reproduced run as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_cli.console.formatting import short
from mlops_cli.core.models.reproducibility import InputChange, Reproduction, StageComparison

if TYPE_CHECKING:
    from mlops_cli.console.console import Console

MOST_SHOWN = 12


def show_reproduction(console: Console, reproduction: Reproduction) -> None:
    for stage in reproduction.stages:
        console.say(_stage(stage))
        for difference in stage.input_changes:
            console.say(f"  {_shown(difference)}")
    for difference in reproduction.metrics[:MOST_SHOWN]:
        console.say(f"metric {_shown(difference)}")
    if len(reproduction.metrics) > MOST_SHOWN:
        console.say(f"... and {len(reproduction.metrics) - MOST_SHOWN} more metrics differ")
    console.say(f"run {reproduction.run_id}: {'same' if reproduction.same else 'DIFFERENT'}")


def _stage(stage: StageComparison) -> str:
    output = f"same output {short(stage.now)}" if stage.same else f"output {short(stage.before)} → {short(stage.now)}"
    inputs = "same inputs" if not stage.input_changes else "different inputs:"
    return f"{stage.name}: {output}; {inputs}"


def _shown(difference: InputChange) -> str:
    return f"{difference.name}: {_value(difference.before)} → {_value(difference.now)}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "absent"
    text = str(value)
    return short(text) if len(text) == 64 else text
