"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.completion import complete_run_ids

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to every question.")]
YesCost = Annotated[
    bool,
    typer.Option(
        "--yes-cost", help="aws: continue even if the cost is above MAX_RUN_COST or MAX_MONTHLY_COST, or unknown."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
Comment = Annotated[str, typer.Option(help="The reason; recorded with your name and the time.", show_default=False)]
RunId = Annotated[
    str,
    typer.Argument(
        help="The id of a run, or its first characters. Default: the newest run.",
        show_default=False,
        autocompletion=complete_run_ids,
    ),
]
