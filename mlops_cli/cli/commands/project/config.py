"""``mlops config``"""

from __future__ import annotations

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json
from mlops_cli.errors import EXIT_USAGE


@command("config", "mlops config --json", only_shows=True)
def config(ctx: typer.Context, as_json: Json = False) -> None:
    """Show every setting and its origin."""
    from mlops_cli.console.output import show_settings
    from mlops_cli.core.jobs.script_environment import PassedVariables
    from mlops_cli.project.environment import withheld_variables
    from mlops_cli.project.settings.script_secrets import secret_origins
    from mlops_cli.project.settings.values import unread_variables

    context, console = get_context(ctx)
    settings = context.settings
    show_settings(console, settings)
    problems = context.problems
    passed = PassedVariables() if problems else context.use_case.passed
    withheld, origins = withheld_variables(passed), secret_origins(passed.secrets, context.project.dotenv)
    context.note_dotenv(console)
    for name in unread_variables(settings):
        console.say(f"note: the environment variable {name} is read on aws only: CI systems set it; use MLOPS_{name}")
    if origins:
        shown = ", ".join(f"{name} ({origin or 'not set'})" for name, origin in origins.items())
        console.say(f"secrets that scripts and gates get: {shown}")
    if withheld:
        console.say(f"secrets that scripts, gates and the endpoint do not get: {', '.join(withheld)}")
    console.result(
        {
            "settings": settings.to_dict(),
            "secrets": origins,
            "withheld": withheld,
            "problems": problems,
            "project": str(context.project.root),
        }
    )
    if problems:
        console.say("\n".join(f"problem: {problem}" for problem in problems))
        console.say(f"hint: Fix {'it' if len(problems) == 1 else 'them'}, then check again: mlops config")
        raise typer.Exit(EXIT_USAGE)
