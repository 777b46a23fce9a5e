"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli import completion

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, alone on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to every question.")]
YesCost = Annotated[bool, typer.Option("--yes-cost", help="aws: whatever it costs, above the limits or not known.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
Comment = Annotated[str, typer.Option(help="Why; recorded with your name and the time.", show_default=False)]
RunId = Annotated[
    str,
    typer.Argument(
        help="The start of a run's id; the newest run if left out.",
        show_default=False,
        autocompletion=completion.run_ids,
    ),
]
