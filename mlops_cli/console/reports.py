"""What a command has to say in the end: for a person as tables, for a script as one JSON value."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.base import Endpoint, EndpointState, GateReport
from mlops_cli.console.words import iso, moment, short
from mlops_cli.runs import CONTINUABLE, Run, StageRun, Status

if TYPE_CHECKING:
    from mlops_cli.config import Settings
    from mlops_cli.console.console import Console
    from mlops_cli.data.manifest import Dataset
    from mlops_cli.evidence import Evidence
    from mlops_cli.plans import Plan
    from mlops_cli.probe import Probe

BRING_BACK = "mlops run --from deploy"


def run_dict(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status.value,
        "created_at": iso(run.created_at),
        "overrides": run.overrides,
        "decision": {**asdict(run.decision), "at": iso(run.decision.at)} if run.decision else None,
        "stages": [stage_dict(stage) for stage in run.stages],
    }


def stage_dict(stage: StageRun) -> dict[str, Any]:
    return {
        "name": stage.name,
        "status": stage.status.value,
        "reason": stage.reason,
        "seconds": stage.seconds,
        "output": stage.output,
        "ingredients": stage.ingredients,
    }


def endpoint_dict(endpoint: Endpoint) -> dict[str, Any]:
    return {**asdict(endpoint), "state": endpoint.state.value, "is_what_was_approved": is_approved(endpoint)}


def is_approved(endpoint: Endpoint) -> bool:
    """What is live is what was approved."""
    return bool(endpoint.live_digest) and endpoint.live_digest == endpoint.approved_digest


def plan_dict(plan: Plan) -> list[dict[str, Any]]:
    return [{**asdict(change), "action": change.action.value} for change in plan.changes]


def next_command(run: Run) -> str:
    """The one command that takes the run further."""
    if run.status is Status.WAITING:
        return f"mlops approve --run-id {run.id}"
    if run.status is Status.RUNNING:
        return "mlops logs --follow"
    if run.status in CONTINUABLE:
        return "mlops run"
    return "mlops test-endpoint" if run.status is Status.DONE else "mlops run"


def examination_dict(endpoint: Endpoint, found: Probe, gate: GateReport) -> dict[str, Any]:
    return {"endpoint": endpoint_dict(endpoint), "probe": asdict(found), "gate": asdict(gate)}


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
    """The run's stages, who decided, and why it stands where it stands."""
    if console.as_json:
        return
    from mlops_cli.console.tables import stage_table

    console.show(stage_table(run, {}, explain))
    if run.decision:
        said = run.decision
        verb = "approved" if said.approved else "rejected"
        comment = f": {said.comment}" if said.comment else ""
        console.say(f"{verb} by {said.who}, {moment(said.at)}{comment}")
    if run.current and run.current.status is Status.FAILED:
        console.say(run.current.reason)


def show_endpoint(console: Console, endpoint: Endpoint) -> None:
    """One line; a dead endpoint comes with its reason and the command that brings it back."""
    if endpoint.state is EndpointState.ABSENT:
        console.say(f"endpoint {endpoint.name}: none yet")
    elif endpoint.state is EndpointState.FAILED:
        console.say(f"endpoint {endpoint.name}: FAILED, {endpoint.reason}")
        console.next(BRING_BACK)
    else:
        model = short(endpoint.live_digest)
        approved = (
            f"approved is {short(endpoint.approved_digest)}" if endpoint.approved_digest else "nothing is approved"
        )
        serves = f"the approved model {model}" if is_approved(endpoint) else f"{model}, but {approved}"
        console.say(f"endpoint {endpoint.name}: {endpoint.state.value} at {endpoint.url}, serves {serves}")


def show_evidence(console: Console, evidence: Evidence) -> None:
    """The metrics against their floors and against the live model, the gates, the data, the digests."""
    if console.as_json:
        return
    from mlops_cli.console.tables import facts_table, metrics_table

    data = evidence.data
    synthetic = "  SYNTHETIC DATA" if data.get("synthetic") else ""
    gates = ", ".join(
        f"{gate.name}: {gate.passed} passed, {gate.failed} failed" for gate in evidence.gates if gate.passed
    )
    live = f"{short(evidence.live_digest)} of run {evidence.live_run}" if evidence.live_digest else "nothing yet"
    facts = {
        "data": f"{data.get('source', '?')}, {data.get('rows', 0):,} rows, {short(evidence.data_digest)}{synthetic}",
        "model": short(evidence.model_digest),
        "live now": live,
        "gates": gates or "-",
        "verdict": "; ".join(evidence.shortfalls) or f"nothing is under its floor{_against_live(evidence)}",
    }
    console.show(f"\nEvidence for run {evidence.run_id}", metrics_table(evidence, console.width), facts_table(facts))
    if evidence.earlier:
        said = evidence.earlier
        verb = "approved" if said.approved else "REJECTED"
        console.say(f"This very model was {verb} by {said.who}, {moment(said.at)}. {said.comment}".rstrip())


def _against_live(evidence: Evidence) -> str:
    """How the primary metric's last row that both models have compares with the live model's."""
    for row in reversed(evidence.rows):
        now, before = row.metrics.get(evidence.primary), row.live.get(evidence.primary)
        if now is not None and before is not None:
            sign = "<" if now < before else ">" if now > before else "="
            return f"; {row.name} {evidence.primary} {now:.3f} {sign} {before:.3f} of the live model"
    return ""


def show_dataset(console: Console, dataset: Dataset, changed: bool) -> None:
    rates = ", ".join(f"{label} {rate:.1%}" for label, rate in dataset.label_rates.items())
    what = "dataset" if changed else "no changes"
    console.say(f"{what}: {dataset.source}, {dataset.rows:,} rows, sha256 {short(dataset.sha256)}")
    if dataset.ignored_columns:
        console.say(f"columns left out, since [data.columns] does not name them: {', '.join(dataset.ignored_columns)}")
    if rates:
        console.say(f"labels: {rates}")


def show_probe(console: Console, probe: Probe) -> None:
    if console.as_json:
        return
    from mlops_cli.console.tables import predictions_table

    if probe.rows:
        console.show(predictions_table(probe.rows))
    else:
        console.say(probe.raw)
    console.say(f"latency of {probe.requests} requests: p50 {probe.p50_ms:.1f} ms, p99 {probe.p99_ms:.1f} ms")
