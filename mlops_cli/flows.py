"""The commands that are a conversation: they show something, perhaps ask, act, and say what comes next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.base import Backend, Endpoint, EndpointState, GateReport, Occasion
from mlops_cli.console import Console, reports
from mlops_cli.errors import EXIT_INTERRUPTED, EXIT_STAGE_FAILED, ConfigurationError, MlopsError
from mlops_cli.plans import Plan
from mlops_cli.registry import rollback_target
from mlops_cli.runs import Run, RunRequest, Status
from mlops_cli.spending import Spending
from mlops_cli.stages import STAGES, stage_named

if TYPE_CHECKING:
    from mlops_cli.evidence import Evidence
    from mlops_cli.probe import Probe
    from mlops_cli.provenance import Reproduction


@dataclass(frozen=True)
class Examination:
    endpoint: Endpoint
    probe: Probe
    gate: GateReport


def found_project(console: Console, folder: Path, name: str, minimal: bool) -> dict[str, Any]:
    """Write a new project, and say what is in it and how to try it."""
    from mlops_cli.scaffold import plan_project, project_files, project_name, write_project

    name = project_name(name, folder)
    files = project_files(name, minimal)
    plan = plan_project(folder, files)
    write_project(folder, files)
    reports.show_plan(console, plan)
    console.say(f"{folder} holds the use case {name}" if plan.active else "no changes")
    here = folder.resolve() == Path.cwd()
    console.next("mlops quickstart" if here else f"cd {shlex.quote(str(folder))} && mlops quickstart")
    return {"project": str(folder.resolve()), "name": name, "files": sorted(files), "changed": bool(plan.active)}


def announce(backend: Backend, console: Console) -> str:
    """Say where the changes to come are made, when that is not this folder."""
    place = backend.place()
    if place:
        console.say(place)
    return place


def build(backend: Backend, console: Console, dry_run: bool, yes: bool, spending: Spending) -> tuple[Plan, bool]:
    """Show what would be made, ask when it is made elsewhere, make it; the bool: whether anything was."""
    place = announce(backend, console)
    if place and not dry_run:
        console.require_person(yes)
    try:
        with console.resource_view() as watch:
            plan = backend.plan_provision(watch)
        reports.show_plan(console, plan)
        if plan.active:
            spending.show(backend.costs(Occasion.ENDPOINT), "once a model is approved")
        if dry_run or not plan.active:
            console.say("dry run: nothing was changed" if plan.active else "no changes")
            return plan, False
        if place and not console.confirm(_question(plan), yes):
            raise MlopsError("Nothing was changed.", "Look at the plan again: mlops deploy-infra --dry-run")
        with console.resource_view() as watch:
            backend.provision(watch)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; what has begun goes on by itself" + (f" in {place.split(', as ')[0]}." if place else "."),
            "Go on with it: mlops deploy-infra",
            EXIT_INTERRUPTED,
        ) from None
    finally:
        backend.forget_plan()
    console.say("done")
    return plan, True


def _question(plan: Plan) -> str:
    """What cannot be made again is in the question, too: colours and columns are easily overlooked."""
    lost = [f"{change.loses} ({change.what})" for change in plan.changes if change.loses]
    return f"This LOSES {'; '.join(lost)}. Make these changes?" if lost else "Make these changes?"


def start(
    backend: Backend, console: Console, request: RunRequest, spending: Spending, explain: bool = False
) -> tuple[Run, bool]:
    """Start or continue a run and follow it to its end or to the gate; the bool: whether anything had changed."""
    try:
        with console.run_view(explain) as view:
            run, fresh = backend.start_run(request, view, spending.consent)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; nothing of the run is left running.", "Continue: mlops run", EXIT_INTERRUPTED
        ) from None
    if not fresh:
        console.say(f"nothing changed since run {run.id}, which is {run.status.value}")
        if explain:
            reports.show_run(console, run, explain=True)
    return run, fresh


def report_run(backend: Backend, console: Console, run: Run) -> None:
    """How a run stands; at the gate with its evidence and the line that approves it."""
    if run.status is Status.WAITING:
        reports.show_evidence(console, backend.evidence(run))
    elif run.status is Status.DONE:
        reports.show_endpoint(console, backend.endpoint())
    console.next(reports.next_command(run))


def follow_run(backend: Backend, console: Console, run: Run) -> Run:
    """Show a run that goes on by itself, until it ends or waits for a person."""
    with console.run_view() as view:
        return backend.follow(run, view)


def stop_run(backend: Backend, console: Console, run_id: str) -> Run:
    """End a run that goes on; one that waits or has ended is left as it is."""
    run = backend.get_run(run_id)
    if run.status not in (Status.PENDING, Status.RUNNING):
        console.say(f"run {run.id} is {run.status.value}: nothing of it is running")
        return run
    run = backend.stop(run)
    console.say(f"run {run.id} is {run.status.value}")
    console.next(reports.next_command(run))
    return run


def decide(
    backend: Backend, console: Console, run_id: str, approved: bool, comment: str, yes: bool, spending: Spending
) -> tuple[Run, Evidence]:
    """Show the evidence, ask, record the decision; after a yes go on to the live endpoint's tests."""
    run = backend.get_run(run_id)
    backend.check_decidable(run)
    evidence = backend.evidence(run)
    reports.show_evidence(console, evidence)
    _require_reason(evidence, run, approved, comment)
    if approved:
        spending.consent(backend.costs(Occasion.ENDPOINT))
    if not console.confirm(f"{'Approve and deploy' if approved else 'Reject'} the model of run {run.id}?", yes):
        console.say(f"Left waiting. To say no for good: mlops approve --run-id {run.id} --reject")
        return run, evidence
    try:
        with console.run_view() as view:
            run = backend.decide(run, approved, comment, view)
    except KeyboardInterrupt:
        raise MlopsError("Stopped; the decision is on record.", "Go on with it: mlops run", EXIT_INTERRUPTED) from None
    if approved:
        report_run(backend, console, run)
    else:
        console.say(f"run {run.id} is rejected; nothing was deployed")
    return run, evidence


def show_report(backend: Backend, console: Console, run_id: str, in_browser: bool) -> dict[str, Any]:
    """Say where a run's report is, and open it if asked to; gives what there is to say for a script."""
    import webbrowser

    run = backend.get_run(run_id)
    address = backend.report(run)
    console.say(f"report of run {run.id}: {address}")
    if in_browser and not webbrowser.open(address):
        raise MlopsError("No browser was found on this machine.", f"Open the report elsewhere: {address}")
    if run.status is Status.WAITING:
        console.next(reports.next_command(run))
    return {"run": run.id, "report": address, "opened": in_browser}


def go_back(backend: Backend, console: Console, version: str, comment: str, yes: bool, spending: Spending) -> Run:
    """Show which model would come back in place of which, ask, deploy it and test the endpoint."""
    from mlops_cli.console.models import show_models

    models, endpoint = backend.models(), backend.endpoint()
    target = rollback_target(models, endpoint.live_digest, version)
    show_models(console, models, endpoint.live_digest)
    if endpoint.state is EndpointState.ABSENT:  # one that is there costs already: that is no reason to keep a bad model
        spending.consent(backend.costs(Occasion.ENDPOINT))
    if not console.confirm(f"Deploy {target.name} of run {target.run_id} again?", yes):
        raise MlopsError("Nothing was changed.", "Look at the versions again: mlops models")
    try:
        with console.run_view() as view:
            run = backend.rollback(target.digest, comment, view)
    except KeyboardInterrupt:
        raise MlopsError("Stopped; the rollback is on record.", "Go on with it: mlops run", EXIT_INTERRUPTED) from None
    report_run(backend, console, run)
    return run


def _require_reason(evidence: Evidence, run: Run, approved: bool, comment: str) -> None:
    """A model that falls short of its bounds may be approved, but not without a recorded reason."""
    if approved and evidence.shortfalls and not comment:
        raise ConfigurationError(
            f"The model falls short ({'; '.join(evidence.shortfalls)}): approving it needs a reason.",
            f"mlops approve --run-id {run.id} --comment 'WHY', or --reject",
        )


def repeat(backend: Backend, console: Console, run_id: str, spending: Spending) -> Reproduction:
    """Make a run's model again, and say whether it is the same or what differs."""
    from mlops_cli.console.reproduction import show_reproduction

    run = backend.get_run(run_id)
    place = announce(backend, console)
    where = f"as jobs on {backend.target}, beside its runs" if place else "beside all else"
    console.say(f"run {run.id} is made again from the scripts, settings and data that are here now, {where}")
    spending.consent(backend.costs(Occasion.REPRODUCTION))
    try:
        with console.run_view(explain=True) as view:
            found = backend.reproduce(run, view)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; nothing of it is left running, and the run itself is as it was.",
            f"Begin anew: mlops reproduce {run.id}",
            EXIT_INTERRUPTED,
        ) from None
    show_reproduction(console, found)
    return found


def log_stage(run: Run, name: str) -> str:
    """The stage whose log is meant: the named one, or the last that has one."""
    if name:
        return stage_named(name).name
    with_log = [stage.name for stage in run.stages if stage.log or stage.status is Status.RUNNING]
    return with_log[-1] if with_log else STAGES[0].name


def examine(backend: Backend, console: Console, instances: list[Any]) -> tuple[bool, Examination]:
    """Predict, time, compare digests, run the gate; gives whether all is well, and what was found."""
    from mlops_cli.probe import probe

    endpoint = backend.endpoint()
    reports.show_endpoint(console, endpoint)
    if endpoint.state is not EndpointState.IN_SERVICE:
        _not_in_service(endpoint.name, endpoint.state, endpoint.reason)
    found = probe(backend.invoke, instances)
    reports.show_probe(console, found)
    gate = backend.run_gate()
    console.say(f"gate: {gate.passed} passed, {gate.failed} failed")
    for failure in gate.failures:
        console.say(f"  - {failure}")
    return not gate.failed and reports.is_approved(endpoint), Examination(endpoint, found, gate)


def _not_in_service(name: str, state: EndpointState, reason: str) -> None:
    if state is EndpointState.ABSENT:
        raise MlopsError(f"There is no endpoint {name} yet.", "Train and approve a model: mlops run", EXIT_STAGE_FAILED)
    raise MlopsError(
        f"The endpoint {name} is {state.value}: {reason}.",
        f"Bring it back: {reports.BRING_BACK}",
        EXIT_STAGE_FAILED,
    )


def clean(
    backend: Backend, console: Console, dry_run: bool, keep_data: bool, yes: bool, spending: Spending
) -> tuple[Plan, Plan]:
    """Show the plan, ask, remove, look again; gives the plan and what is left of it."""
    place = announce(backend, console)
    if place and not dry_run:
        console.require_person(yes)
    plan = backend.plan_teardown(keep_data)
    reports.show_plan(console, plan)
    if plan.active:
        spending.show(backend.costs(Occasion.CLEANUP), "what this stops costing")
    if dry_run or not plan.active:
        console.say("dry run: nothing was changed" if plan.active else "nothing to remove")
        return plan, Plan(())
    if not console.confirm("Stop and remove all this?", yes):
        raise MlopsError("Nothing was removed.", "Look at the plan again: mlops cleanup --dry-run")
    try:
        with console.resource_view() as watch:
            left = backend.teardown(keep_data, watch)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; not everything is removed.", "Go on with it: mlops cleanup", EXIT_INTERRUPTED
        ) from None
    for change in left.active:
        console.say(f"left: {change.what}" + (f"  {change.why}" if place else ""))
    if not left.active:
        console.say("proof: looked again, nothing that mlops made is left" + (" but the data" if keep_data else ""))
    return plan, left
