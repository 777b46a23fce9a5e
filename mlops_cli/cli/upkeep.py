"""The commands that look after a project: what it is set to, and its end."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import DryRun, Json, Yes, command, opened
from mlops_cli.errors import EXIT_ERROR, EXIT_LEFT_OVER, EXIT_STAGE_FAILED, EXIT_USAGE


@command("cleanup", "mlops cleanup --dry-run")
def cleanup(
    ctx: typer.Context,
    dry_run: DryRun = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Leave the dataset.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove all that mlops made, and prove it."""
    from mlops_cli.console.reports import plan_dict
    from mlops_cli.flows import clean

    session, console = opened(ctx)
    spending = session.spending(console)
    plan, left = clean(session.backend, console, dry_run, keep_data, yes, spending)
    console.result({"plan": plan_dict(plan), "left": plan_dict(left), "costs": spending.to_dict()})
    if left.active:
        raise typer.Exit(EXIT_LEFT_OVER)


@command("drift", "mlops drift --days 30")
def drift(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=30, help="How many days of requests.")] = 7,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 3 if the verdict is to retrain.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the endpoint's requests with training."""
    from mlops_cli.console.drift import show_drift
    from mlops_cli.drift import Verdict, judge

    session, console = opened(ctx)
    found = judge(session.backend.observed(days))
    show_drift(console, found)
    console.result(found.to_dict())
    if fail and found.verdict is Verdict.RETRAIN:
        raise typer.Exit(EXIT_STAGE_FAILED)


@command("doctor", "mlops doctor --json")
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """What would keep the commands from working, or costs for nothing, and what mends it."""
    from mlops_cli.console.findings import findings_dict, show_findings
    from mlops_cli.doctor import State

    session, console = opened(ctx)
    found = show_findings(console, session.examine())
    console.result({"target": session.settings.target, **findings_dict(found)})
    if any(finding.state is State.FAILURE for finding in found):
        raise typer.Exit(EXIT_ERROR)


@command("config", "mlops config --json")
def config(ctx: typer.Context, as_json: Json = False) -> None:
    """Every setting and where it comes from."""
    from mlops_cli.console.reports import show_settings

    session, console = opened(ctx)
    settings = session.settings
    show_settings(console, settings)
    problems = session.problems
    console.result({"settings": settings.to_dict(), "problems": problems, "project": str(session.project.root)})
    if problems:
        console.say("\n".join(f"problem: {problem}" for problem in problems))
        raise typer.Exit(EXIT_USAGE)
