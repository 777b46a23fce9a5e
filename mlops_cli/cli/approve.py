"""``mlops approve``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli import completion
from mlops_cli.cli.app import command, get_context, show_account
from mlops_cli.cli.options import Comment, Json, Yes, YesCost
from mlops_cli.errors import EXIT_INTERRUPTED, ConfigurationError, MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend
    from mlops_cli.console import Console
    from mlops_cli.evidence import Evidence
    from mlops_cli.runs import Run
    from mlops_cli.spending import Spending


@command("approve", "mlops approve --run-id 3f2a --comment 'better on threat'")
def approve(
    ctx: typer.Context,
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id",
            help="The id of the run, or its first characters.",
            show_default=False,
            autocompletion=completion.waiting_run_ids,
        ),
    ],
    reject: Annotated[bool, typer.Option("--reject", help="Reject the model: it is not deployed.")] = False,
    comment: Comment = "",
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """Show the evidence, ask for a decision, deploy if approved."""
    from mlops_cli.console.reports import run_dict

    session, console = get_context(ctx)
    if not run_id.strip():
        raise ConfigurationError("--run-id is empty.", "See which runs there are: mlops runs")
    show_account(session.backend, console)
    spending = session.spending(console, yes, yes_cost)
    with session.tracked(console.say, run_id):
        run, evidence = show_and_decide(session.backend, console, run_id, not reject, comment, yes, spending)
    console.result({**run_dict(run), "evidence": evidence.to_dict(), "costs": spending.to_dict()})


def show_and_decide(
    backend: Backend, console: Console, run_id: str, approved: bool, comment: str, yes: bool, spending: Spending
) -> tuple[Run, Evidence]:
    """Show the evidence, ask, record the decision; after an approval deploy and test the endpoint."""
    from mlops_cli.backends.base import Occasion
    from mlops_cli.cli.run import show_result
    from mlops_cli.console import reports
    from mlops_cli.evidence import require_reason

    run = backend.get_run(run_id)
    backend.check_decidable(run)
    evidence = backend.evidence(run)
    reports.show_evidence(console, evidence)
    if approved:
        require_reason(evidence, comment)
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
        show_result(backend, console, run)
    else:
        console.say(f"run {run.id} is rejected; nothing was deployed")
        if backend.endpoint().deployed_digest == evidence.model_digest:
            console.say("Its model is the one that is deployed already: the endpoint goes on serving it.")
            console.next("mlops rollback")
    return run, evidence
