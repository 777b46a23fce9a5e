"""The results of commands: tables, and one JSON value."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops_cli.console.formatting import format_datetime, iso, short
from mlops_cli.core.endpoint import Endpoint, EndpointState, GateReport
from mlops_cli.core.runs import CONTINUABLE, Run, StageRun, Status
from mlops_cli.data.metadata import describe_amount
from mlops_cli.plain_text import clipped, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_cli.console.console import Console
    from mlops_cli.core.models.decision import Decision
    from mlops_cli.core.models.evidence import Evidence
    from mlops_cli.core.plan import Plan
    from mlops_cli.data.metadata import DatasetInfo
    from mlops_cli.data.origins import SourceCheck
    from mlops_cli.monitoring.endpoint_check import EndpointCheck
    from mlops_cli.project.settings.values import Settings


MOST_COLUMNS = 20


def run_dict(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status.value,
        "created_at": iso(run.created_at),
        "overrides": run.overrides,
        "decision": decision_dict(run.decision),
        "stages": [stage_dict(stage) for stage in run.stages],
    }


def decision_dict(decision: Decision | None) -> dict[str, Any] | None:
    return {**decision.to_dict(), "at": iso(decision.at)} if decision else None


def stage_dict(stage: StageRun) -> dict[str, Any]:
    return {
        "name": stage.name,
        "status": stage.status.value,
        "reason": stage.reason,
        "seconds": stage.seconds,
        "output": stage.output,
        "cache_inputs": stage.cache_inputs,
    }


def endpoint_dict(endpoint: Endpoint) -> dict[str, Any]:
    return {**asdict(endpoint), "state": endpoint.state.value, "is_what_was_approved": endpoint.is_approved}


def plan_dict(plan: Plan) -> list[dict[str, Any]]:
    return [{**asdict(change), "action": change.action.value} for change in plan.changes]


def show_next(console: Console, run: Run, endpoint: Endpoint) -> None:
    """Name the command that repairs the endpoint, and the command that continues the run unless it has finished."""
    is_wrong = endpoint.state is EndpointState.FAILED or (
        endpoint.state is EndpointState.IN_SERVICE and not endpoint.is_approved
    )
    if is_wrong:
        console.next(endpoint.fix_command)
    if not is_wrong or run.status is not Status.DONE:
        console.next(next_command(run))


def next_command(run: Run) -> str:
    """Return the command that continues the run."""
    if run.status is Status.WAITING:
        return f"mlops approve {run.id}"
    if run.status is Status.RUNNING:
        return "mlops logs --follow"
    if run.status in CONTINUABLE:
        return "mlops run"
    return "mlops test-endpoint" if run.status is Status.DONE else "mlops run"


def endpoint_test_dict(endpoint: Endpoint, check: EndpointCheck, gate: GateReport) -> dict[str, Any]:
    return {"endpoint": endpoint_dict(endpoint), "probe": asdict(check), "gate": asdict(gate)}


def show_plan(console: Console, plan: Plan) -> None:
    if plan.changes and not console.as_json:
        from mlops_cli.console.tables import plan_table

        console.show(plan_table(plan))


def show_runs(console: Console, runs: list[Run]) -> None:
    if not runs:
        console.say("no runs yet")
        console.next("mlops run")
    elif not console.as_json:
        from mlops_cli.console.tables import run_table

        console.show(run_table(runs))


def show_settings(console: Console, settings: Settings) -> None:
    if not console.as_json:
        from mlops_cli.console.tables import settings_table

        console.show(settings_table(settings))


def show_run(console: Console, run: Run, explain: bool = False) -> None:
    """Show the run's stages, its decision and the reason of its status."""
    if console.as_json:
        return
    from mlops_cli.console.tables import stage_table

    console.show(stage_table(run, {}, explain))
    if run.decision:
        decision = run.decision
        console.say(f"{decision.verb} {decision.describe(format_datetime(decision.at))}")
        if decision.approved and decision.shortfalls:
            console.say(f"accepted shortfalls: {'; '.join(decision.shortfalls)}")
    if run.current and run.current.status is Status.FAILED:
        console.say(run.current.reason)


def show_endpoint(console: Console, endpoint: Endpoint) -> None:
    """Show one line, and the problems and incidents of the endpoint."""
    if endpoint.state is EndpointState.ABSENT:
        console.say(f"endpoint {endpoint.name}: none yet")
    elif endpoint.state is EndpointState.FAILED:
        console.say(f"endpoint {endpoint.name}: FAILED, {endpoint.reason}")
        if endpoint.objection:
            console.say(f"its model {short(endpoint.deployed_digest)} {endpoint.objection}")
    else:
        console.say(f"endpoint {endpoint.name}: {endpoint.state.value} at {endpoint.url}, serves {endpoint.served}")
    if endpoint.hosts:
        console.say(f"note: it answers to {', '.join(endpoint.hosts)}, too (ENDPOINT_HOSTS)")
    for incident in endpoint.incidents[-1:]:
        console.say(f"note: {incident}")


def show_evidence(console: Console, evidence: Evidence) -> None:
    """Show the metrics with their limits and the live model's, the gates, the data, the digests."""
    if console.as_json:
        return
    from mlops_cli.console.tables import difference_table, metrics_table, properties_table

    data = evidence.data
    synthetic = "  SYNTHETIC DATA" if data.get("synthetic") else ""
    gates = ", ".join(
        f"{gate.name}: {gate.passed} passed, {gate.failed} failed" for gate in evidence.gates if gate.passed
    )
    live = f"{short(evidence.live_digest)} of run {evidence.live_run}" if evidence.live_digest else "none yet"
    properties = {
        "data": f"{data.get('source', '?')}, {describe_amount(data)}, {short(evidence.data_digest)}{synthetic}",
        "model": short(evidence.model_digest),
        "live now": live,
        "gates": gates or "-",
        **_against_live(evidence),
        "limits": "; ".join(evidence.comment_reasons) or _within(evidence),
        **({"report": evidence.report} if evidence.report else {}),
    }
    metrics = metrics_table(evidence, console.width)
    shown_names = [str(column.header) for column in metrics.columns]
    hidden = [name for name in map(one_line, evidence.metric_names) if name not in shown_names]
    note = f"not shown, for lack of width: {', '.join(hidden)}; the report has all"
    console.show(f"\nEvidence for run {evidence.run_id}", metrics, *([note] if hidden else []))
    if evidence.comparison and evidence.comparison.differences:
        console.show("", difference_table(evidence.comparison), "")
    console.show(properties_table(properties))
    if evidence.earlier:
        decision = evidence.earlier
        verb = decision.verb if decision.approved else decision.verb.upper()
        console.say(f"This model was already {verb} {decision.describe(format_datetime(decision.at))}")


def _within(evidence: Evidence) -> str:
    """Return the sentence for a model without a shortfall."""
    from mlops_cli.core.models.comparison import ComparisonResult

    has_limits = any(row.minimum or row.maximum for row in evidence.rows)
    limits = "all metrics are within their limits" if has_limits else "usecase.toml sets no limits"
    is_worse = evidence.comparison is not None and evidence.comparison.result is ComparisonResult.WORSE
    return f"{limits}, but the model is WORSE than the live one" if is_worse else limits


def _against_live(evidence: Evidence) -> dict[str, str]:
    """Return the comparison with the live model, and its rows."""
    from mlops_cli.core.models.comparison import describe_rows, summarize

    comparison = evidence.comparison
    if comparison is None:
        return {}
    rows = {"compared": describe_rows(comparison)} if comparison.differences else {}
    return {"against live": summarize(comparison), **rows}


def show_dataset(console: Console, dataset: DatasetInfo, changed: bool) -> None:
    rates = ", ".join(f"{label} {rate:.1%}" for label, rate in dataset.label_rates.items())
    heading = "dataset" if changed else "no changes"
    console.say(f"{heading}: {dataset.source}, {dataset.amount}, sha256 {short(dataset.sha256)}")
    if dataset.ignored_columns:
        ignored = ", ".join(clipped(one_line(name), 40) for name in dataset.ignored_columns[:MOST_COLUMNS])
        if len(dataset.ignored_columns) > MOST_COLUMNS:
            ignored += f" and {len(dataset.ignored_columns) - MOST_COLUMNS} more"
        console.say(f"ignored columns, not in [data.columns]: {ignored}")
    if rates:
        console.say(f"labels: {rates}")
    for remark in dataset.remarks:
        console.say(remark)


def show_changed_columns(console: Console, folder: Path, columns: Mapping[str, str]) -> None:
    """Show that the data were checked against other columns than usecase.toml has now."""
    from mlops_cli.data.metadata import changed_columns

    if changed := changed_columns(folder, columns):
        remedy = "check the data: mlops download-data"
        console.say(f"note: [data.columns] has changed since the download ({changed}); {remedy}")


def show_newer_data(console: Console, source_check: SourceCheck, default: str) -> list[str]:
    """Show and return the sources that have changed since the download, and the command that downloads them again."""
    changed = source_check.changed()
    if changed:
        sources = [] if source_check.sources == [default] else source_check.sources
        options = "".join(f" --source {shlex.quote(source)}" for source in sources)
        console.say(f"newer data: {', '.join(changed)}; download it: mlops download-data{options} --refresh")
    return changed


def show_endpoint_check(console: Console, check: EndpointCheck) -> None:
    if console.as_json:
        return
    from mlops_cli.console.tables import predictions_view

    if check.rows:
        console.show(*predictions_view(check.rows, console.width))
    else:
        console.say(check.raw)
    console.say(f"latency of {check.requests} requests: p50 {check.p50_ms:.1f} ms, p99 {check.p99_ms:.1f} ms")
