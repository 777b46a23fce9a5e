"""The commands that look after a project: what it is set to, and its end."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import DryRun, Json, Yes, command, opened
from mlops_cli.errors import (
    EXIT_LEFT_OVER,
    EXIT_USAGE,
)


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
