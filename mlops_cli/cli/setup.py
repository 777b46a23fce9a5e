"""The commands that make a project ready."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mlops_cli import completion
from mlops_cli.cli.app import DryRun, Json, Yes, YesCost, command, opened


@command("init", "mlops init churn --minimal")
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new project's folder.")],
    name: Annotated[str, typer.Option(help="What the use case is called.", show_default="the folder's name")] = "",
    minimal: Annotated[bool, typer.Option("--minimal", help="Scripts of a few lines, on a table.")] = False,
    as_json: Json = False,
) -> None:
    """Make a project that runs at once, to be changed into your own.

    Without --minimal it is the toxic comments' use case. See docs/your-own-use-case.md.
    """
    from mlops_cli.flows import found_project

    _, console = opened(ctx)
    console.result(found_project(console, folder, name, minimal))


@command("quickstart", "mlops quickstart --yes")
def quickstart(ctx: typer.Context, yes: Yes = False, yes_cost: YesCost = False, as_json: Json = False) -> None:
    """From nothing to a tested endpoint, on data at hand: the built-in sample or the project's own."""
    from mlops_cli.quickstart import tour

    session, console = opened(ctx)
    with session.tracked(console.say):
        done = tour(session.backend, console, session.use_case, yes, session.spending(console, yes, yes_cost))
    console.result(done)


@command("download-data", "mlops download-data --source sample --rows 20000")
def download_data(
    ctx: typer.Context,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="kaggle, sample, a URL or a path; repeat it to join several.", autocompletion=completion.sources
        ),
    ] = None,
    rows: Annotated[int | None, typer.Option(help="How many rows the sample gets.", show_default="20000")] = None,
    seed: Annotated[int, typer.Option(help="The sample's seed.")] = 42,
    sha256: Annotated[
        str | None, typer.Option(help="What the downloaded file's sha256 must be.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Get the dataset into place, checked row by row.

    Without --source from where training/usecase.toml says.
    """
    from mlops_cli.config import export_kaggle
    from mlops_cli.console.reports import show_dataset
    from mlops_cli.flows import announce

    session, console = opened(ctx)
    request = session.use_case.data_request(source or [], rows, seed, sha256)
    export_kaggle(session.settings)
    announce(session.backend, console)
    with console.progress() as report:
        dataset, changed = session.backend.put_data(request, report)
    show_dataset(console, dataset, changed)
    console.result({**asdict(dataset), "changed": changed})
    console.next("mlops run" if session.backend.is_provisioned() else "mlops deploy-infra")


@command("deploy-infra", "mlops deploy-infra --dry-run")
def deploy_infra(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(help="aws: codecommit, s3 or connection; where the pipeline takes the project from."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make what the target needs, shown as a plan first."""
    from mlops_cli.console.reports import plan_dict
    from mlops_cli.flows import build

    session, console = opened(ctx)
    session.flags["SOURCE"] = source
    spending = session.spending(console)
    plan, changed = build(session.backend, console, dry_run, yes, spending)
    facts = {"place": session.backend.place(), "plan": plan_dict(plan), "changed": changed}
    console.result({**facts, "costs": spending.to_dict()})
    console.next("mlops run")
