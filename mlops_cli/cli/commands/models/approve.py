"""``mlops approve``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context, show_account, show_warnings
from mlops_cli.cli.completion import complete_waiting_run_ids
from mlops_cli.cli.options import Comment, Json, Yes, YesCost
from mlops_cli.core.secrets import without_secrets
from mlops_cli.errors import EXIT_INTERRUPTED, ConfigurationError, MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend, Runs
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.core.models.evidence import Evidence
    from mlops_cli.core.runs import Run


WaitingRunId = Annotated[
    str | None,
    typer.Argument(
        help="The id of a run, or its first characters. Default: the run that waits for a decision.",
        show_default=False,
        autocompletion=complete_waiting_run_ids,
    ),
]
RunIdOption = Annotated[
    str | None,
    typer.Option(
        "--run-id",
        help="Same as the argument.",
        show_default=False,
        autocompletion=complete_waiting_run_ids,
    ),
]
Reject = Annotated[bool, typer.Option("--reject", help="Reject the model: it is not deployed.")]


@command("approve", "mlops approve 3f2a --comment 'better on threat'")
def approve(
    ctx: typer.Context,
    run_id: WaitingRunId = None,
    run_id_option: RunIdOption = None,
    reject: Reject = False,
    comment: Comment = "",
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """Show the evidence, ask for a decision, deploy if approved.

    If you repeat the command, it completes the same decision.
    """
    from mlops_cli.console.output import run_dict

    context, console = get_context(ctx)
    named = _named_run(run_id, run_id_option)
    show_account(context.backend.infra, console)
    cost_approval = context.cost_approval(console, yes, yes_cost)
    run_id = named or run_to_decide(context.backend.runs, not reject)
    if not named:  # a repeated command decides about this run
        console.command_line += ("--run-id", run_id)
    with context.log_to_tracking(console.say, run_id):
        run, evidence = show_and_decide(
            context.backend, console, run_id, not reject, without_secrets(comment), yes, cost_approval
        )
    console.result({**run_dict(run), "evidence": evidence.to_dict(), "costs": cost_approval.to_dict()})


def _named_run(argument: str | None, option: str | None) -> str:
    """Return the id in the command line, or "". Raise ConfigurationError for an empty or a second one."""
    if argument is not None and option is not None and argument != option:
        raise ConfigurationError(f"Two runs are named: {argument} and {option}.", "Name one: mlops approve ID")
    named = option if argument is None else argument
    if named is not None and not named.strip():
        raise ConfigurationError("The run's id is empty.", "List the runs: mlops runs")
    return named or ""


def run_to_decide(runs: Runs, approved: bool) -> str:
    """Return the id of the one run that waits. If none waits, return the newest run with this decision, to complete it.

    Raise MlopsError with the ids if several runs wait.
    """
    from mlops_cli.console.formatting import format_datetime
    from mlops_cli.core.runs import Status, has_decision

    every_run = runs.list_runs()
    waiting = [run for run in every_run if run.status is Status.WAITING]
    if len(waiting) > 1:
        ids = ", ".join(f"{run.id} (started {format_datetime(run.created_at)})" for run in waiting)
        option = "" if approved else " --reject"
        raise ConfigurationError(
            f"{len(waiting)} runs wait for a decision: {ids}.", f"Name one: mlops approve ID{option}"
        )
    decided = [run for run in every_run[:1] if has_decision(run, approved)]
    for run in (*waiting, *decided):
        return run.id
    raise MlopsError(
        "No run waits for a decision.", "Start or continue one: mlops run" if every_run else "Start one: mlops run"
    )


def show_and_decide(
    backend: Backend,
    console: Console,
    run_id: str,
    approved: bool,
    comment: str,
    yes: bool,
    cost_approval: CostApproval,
) -> tuple[Run, Evidence]:
    """Show the evidence, ask, record the decision. After an approval, deploy and test the endpoint."""
    from mlops_cli.backends.base import CostScope
    from mlops_cli.console import output
    from mlops_cli.core.models.evidence import require_reason
    from mlops_cli.core.runs import has_decision

    run = backend.runs.get(run_id)
    if approved:  # the gate after the deployment gets them
        backend.infra.require_secrets()
    if has_decision(run, approved):
        return _repeat(backend, console, run, approved)
    backend.approvals.check_waiting(run)
    evidence = backend.approvals.evidence(run)
    output.show_evidence(console, evidence)
    if approved:
        show_warnings(backend.infra, console)
        require_reason(evidence, comment)
        cost_approval.approve(backend.infra.costs(CostScope.ENDPOINT))
    if not console.confirm(f"{'Approve and deploy' if approved else 'Reject'} the model of run {run.id}?", yes):
        console.say(f"The run continues to wait. To reject the model: mlops approve {run.id} --reject")
        return run, evidence
    run = _decide(backend, console, run, approved, comment)
    if not approved:
        console.say(f"run {run.id} is rejected; nothing was deployed")
        if backend.endpoint.status().deployed_digest == evidence.model_digest:
            console.say("This model is deployed already: the endpoint continues to serve it.")
            console.next("mlops rollback")
    return run, evidence


def _decide(backend: Backend, console: Console, run: Run, approved: bool, comment: str) -> Run:
    from mlops_cli.cli.run_result import show_result

    try:
        with console.run_view() as view:
            run = backend.approvals.approve(run, approved, comment, view)
    except KeyboardInterrupt:
        raise MlopsError("Stopped; the decision is on record.", "Continue: mlops run", EXIT_INTERRUPTED) from None
    if approved:
        show_result(backend, console, run)
    return run


def _repeat(backend: Backend, console: Console, run: Run, approved: bool) -> tuple[Run, Evidence]:
    """Report that the decision is on record. Complete the deployment of an approved model."""
    by = f" {run.decision.by}" if run.decision else ""
    console.say(f"run {run.id} was {'approved' if approved else 'rejected'} already{by}")
    run = _decide(backend, console, run, approved, "")
    return run, backend.approvals.evidence(run)
