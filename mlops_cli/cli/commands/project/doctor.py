"""``mlops doctor``"""

from __future__ import annotations

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json
from mlops_cli.errors import EXIT_ERROR


@command("doctor", "mlops doctor --json", only_shows=True)
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check the setup; report unused resources that cost money.

    Each finding has a reason and a fix.
    """
    from mlops_cli.console.checks import findings_dict, show_findings
    from mlops_cli.core.checks import State

    context, console = get_context(ctx)
    findings = show_findings(console, context.run_checks())
    console.result({"target": context.settings.target, **findings_dict(findings)})
    if any(finding.state is State.FAILURE for finding in findings):
        raise typer.Exit(EXIT_ERROR)
