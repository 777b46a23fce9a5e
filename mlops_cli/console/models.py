"""Model versions as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.console.formatting import format_datetime, iso, number, short
from mlops_cli.console.output import decision_dict
from mlops_cli.core.models.metric_bounds import MACRO, Metrics
from mlops_cli.core.models.model_versions import Interval, ModelVersion

if TYPE_CHECKING:
    from rich.text import Text

    from mlops_cli.console.console import Console
    from mlops_cli.core.models.decision import Decision


def models_dict(models: Sequence[ModelVersion], live_digest: str) -> list[dict[str, Any]]:
    return [model_dict(model, live_digest) for model in models]


def model_dict(model: ModelVersion, live_digest: str) -> dict[str, Any]:
    return {
        "version": model.version,
        "digest": model.digest,
        "run": model.run_id,
        "trained_at": iso(model.trained_at),
        "data_digest": model.data_digest,
        "code_digest": model.code_digest,
        "hyperparameters": dict(model.hyperparameters),
        "metrics": dict(model.metrics),
        "approved": model.approved,
        "decision": decision_dict(model.decision),
        "live": [
            {"since": iso(interval.since), "until": iso(interval.until) if interval.until else None}
            for interval in model.live
        ],
        "is_live": _is_live(model, live_digest),
        "is_deployed": model.is_deployed,
    }


def _is_live(model: ModelVersion, live_digest: str) -> bool:
    return bool(live_digest) and model.digest == live_digest


def show_models(console: Console, models: Sequence[ModelVersion], live_digest: str, metrics: Metrics) -> None:
    """Show a row for each model; its metric is the primary one's mean, or that of the only row."""
    if console.as_json:
        return
    if not models:
        console.say("no models yet")
        console.next("mlops run")
        return
    from mlops_cli.console.cells import table

    grid = table("version", "model", "trained", "run", metrics.primary, "decision", "live")
    for model in models:
        mark = _mark(model, live_digest) or ", ".join(_days(interval) for interval in model.live)
        decision = _decision_text(model.decision)
        trained, value = format_datetime(model.trained_at), _headline(_rows(model, metrics.split), metrics.primary)
        grid.add_row(model.name, short(model.digest), trained, model.run_id[:8], value, decision, mark)
    console.show(grid)


def _mark(model: ModelVersion, live_digest: str) -> Text | str:
    from mlops_cli.console.cells import styled

    if _is_live(model, live_digest):
        return styled("▶ now", "green")
    return styled("▶ deployed, does not answer", "red") if model.is_deployed else ""


def _live_now(model: ModelVersion, live_digest: str) -> str:
    if _is_live(model, live_digest):
        return f"yes, but it {model.objection}" if model.objection else "yes"
    return "no: it is deployed, but does not answer" if model.is_deployed else "no"


def show_version(console: Console, model: ModelVersion, live_digest: str, split: str) -> None:
    if console.as_json:
        return
    from mlops_cli.console.tables import properties_table

    properties = {
        "model": model.digest,
        "trained": f"{format_datetime(model.trained_at)} by run {model.run_id}",
        "data": model.data_digest,
        "code": model.code_digest,
        "hyperparameters": ", ".join(f"{name}={value}" for name, value in model.hyperparameters.items()) or "-",
        **{f"{split} {name}": _numbers(row) for name, row in _rows(model, split).items()},
        "decision": _decision_text(model.decision),
        "live": ", ".join(_days(interval) for interval in model.live) or "never",
        "live now": _live_now(model, live_digest),
    }
    console.show(f"model {model.name}", properties_table(properties))


def _rows(model: ModelVersion, split: str) -> dict[str, Any]:
    rows = model.metrics.get(split, {})
    return {name: row for name, row in rows.items() if isinstance(row, dict)} if isinstance(rows, dict) else {}


def _headline(rows: dict[str, Any], metric: str) -> str:
    row = rows.get(MACRO) or (next(iter(rows.values())) if len(rows) == 1 else {})
    value = row.get(metric)
    return number(value if isinstance(value, (int, float)) else None)


def _numbers(row: dict[str, Any]) -> str:
    shown = {name: value for name, value in row.items() if isinstance(value, float)}
    return ", ".join(f"{name} {number(value)}" for name, value in shown.items())


def _decision_text(decision: Decision | None) -> str:
    if decision is None:
        return "-"
    return f"{decision.verb} {decision.by}"


def _days(interval: Interval) -> str:
    return f"{format_datetime(interval.since)} – {format_datetime(interval.until)}".rstrip(" ")
