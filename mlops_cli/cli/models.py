"""The commands about models: the decision, the registry, the way back, the endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops_cli import completion
from mlops_cli.cli.app import Json, RunId, Yes, YesCost, app, command, guarded, opened
from mlops_cli.errors import (
    EXIT_STAGE_FAILED,
    ConfigurationError,
)

models_app = typer.Typer(rich_markup_mode=None)
app.add_typer(models_app, name="models")


@command("approve", "mlops approve --run-id 3f2a --comment 'better on threat'")
def approve(
    ctx: typer.Context,
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id",
            help="The start of the run's id.",
            show_default=False,
            autocompletion=completion.waiting_run_ids,
        ),
    ],
    reject: Annotated[bool, typer.Option("--reject", help="Say no: the model is not deployed.")] = False,
    comment: Annotated[str, typer.Option(help="Why; recorded with your name and the time.", show_default=False)] = "",
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """See the evidence and decide; a yes deploys."""
    from mlops_cli.console.reports import run_dict
    from mlops_cli.flows import announce, decide

    session, console = opened(ctx)
    if not run_id.strip():
        raise ConfigurationError("--run-id is empty.", "See which runs there are: mlops runs")
    announce(session.backend, console)
    spending = session.spending(console, yes, yes_cost)
    with session.tracked(console.say, run_id):
        found, evidence = decide(session.backend, console, run_id, not reject, comment, yes, spending)
    console.result({**run_dict(found), "evidence": evidence.to_dict(), "costs": spending.to_dict()})


@command("report", "mlops report --open")
def report(
    ctx: typer.Context,
    run_id: RunId = "",
    in_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """A run's evidence as one HTML page."""
    from mlops_cli.flows import show_report

    session, console = opened(ctx)
    console.result(show_report(session.backend, console, run_id, in_browser))


@models_app.callback(invoke_without_command=True, epilog="Example: mlops models show 3")
@guarded
def models(ctx: typer.Context, as_json: Json = False) -> None:
    """Every trained model: what it was made from, who decided, when it was live."""
    from mlops_cli.console.models import models_dict, show_models

    if ctx.invoked_subcommand:
        return
    session, console = opened(ctx)
    found, live = session.backend.models(), session.backend.endpoint().live_digest
    show_models(console, found, live)
    console.result(models_dict(found, live))


@models_app.command("show", epilog="Example: mlops models show 3")
@guarded
def show_model(
    ctx: typer.Context,
    version: Annotated[
        str,
        typer.Argument(
            help="A version's number, or the start of a digest.", show_default=False, autocompletion=completion.versions
        ),
    ],
    as_json: Json = False,
) -> None:
    """One model: its lineage, metrics, decision and times of service."""
    from mlops_cli.console.models import model_dict, show_version
    from mlops_cli.registry import find_version

    session, console = opened(ctx)
    found, live = find_version(session.backend.models(), version), session.backend.endpoint().live_digest
    show_version(console, found, live, session.use_case.metrics.split)
    console.result(model_dict(found, live))


@command("rollback", "mlops rollback --comment 'too many false alarms'")
def rollback(
    ctx: typer.Context,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="The version; the one live before if left out.",
            autocompletion=completion.approved_versions,
        ),
    ] = "",
    comment: Annotated[str, typer.Option(help="Why; recorded with your name and the time.", show_default=False)] = "",
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """Back to an earlier approved model, without training."""
    from mlops_cli.console.reports import run_dict
    from mlops_cli.flows import go_back

    session, console = opened(ctx)
    spending = session.spending(console, yes, yes_cost)
    run = go_back(session.backend, console, to, comment, yes, spending)
    console.result({**run_dict(run), "costs": spending.to_dict()})


@command("reproduce", "mlops reproduce 3f2a")
def reproduce(
    ctx: typer.Context, run_id: RunId = "", yes: Yes = False, yes_cost: YesCost = False, as_json: Json = False
) -> None:
    """Make a run's model again and compare digests and metrics."""
    from mlops_cli.flows import repeat

    session, console = opened(ctx)
    spending = session.spending(console, yes, yes_cost)
    found = repeat(session.backend, console, run_id, spending)
    console.result({**found.to_dict(), "costs": spending.to_dict()})
    if not found.same:
        raise typer.Exit(EXIT_STAGE_FAILED)


@command("test-endpoint", "mlops test-endpoint --text 'You are a fool.'")
def test_endpoint(
    ctx: typer.Context,
    text: Annotated[list[str] | None, typer.Option(help="A text to predict; repeat it for several.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON instances, or one text per line.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Test the live endpoint, and what it serves."""
    from mlops_cli.console.reports import examination_dict
    from mlops_cli.flows import examine
    from mlops_cli.probe import instances_from

    session, console = opened(ctx)
    given = [*(text or []), *(instances_from(file) if file else [])]
    instances = given or list(session.use_case.examples)
    well, found = examine(session.backend, console, instances)
    console.result(examination_dict(found.endpoint, found.probe, found.gate))
    if not well:
        raise typer.Exit(EXIT_STAGE_FAILED)
