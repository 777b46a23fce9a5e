"""``mlops download-data``"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context, show_account
from mlops_cli.cli.completion import complete_script_arguments, complete_sources
from mlops_cli.cli.options import Json

Sources = Annotated[
    list[str] | None,
    typer.Option(
        help="kaggle, a URL, s3://, a path, or a script of the project. Repeat the option to join several sources.",
        autocompletion=complete_sources,
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override an argument of a script. Can be repeated.",
        autocompletion=complete_script_arguments,
    ),
]
Rows = Annotated[
    int | None, typer.Option("--rows", metavar="N", min=1, help="The same as --set rows=N.", show_default=False)
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="The same as --set seed=N.", show_default=False)]
Sha256 = Annotated[str | None, typer.Option(help="The expected SHA-256 of the downloaded file.", show_default=False)]
Refresh = Annotated[bool, typer.Option("--refresh", help="Check the server for newer data and download it.")]


@command("download-data", "mlops download-data --source sample --rows 20000")
def download_data(
    ctx: typer.Context,
    source: Sources = None,
    set_: Arguments = None,
    rows: Rows = None,
    seed: Seed = None,
    sha256: Sha256 = None,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Download the dataset and check every row.

    Without --source, the data source is the one in usecase.toml. A script of the project runs on this machine.
    """
    from mlops_cli.cli.dataset import download
    from mlops_cli.console.output import show_newer_data
    from mlops_cli.core.runs import parse_overrides
    from mlops_cli.data.origins import SourceCheck
    from mlops_cli.project.settings.exports import export_kaggle
    from mlops_cli.project.usecase.data_request import data_request

    context, console = get_context(ctx)
    shortcuts = [f"{name}={value}" for name, value in (("rows", rows), ("seed", seed)) if value is not None]
    request = data_request(context.use_case, source or [], parse_overrides([*(set_ or []), *shortcuts]), sha256)
    request = replace(context.completed(request), refresh=refresh)
    export_kaggle(context.settings)
    show_account(context.backend.infra, console)
    dataset, changed = download(context.backend.data, console, request)
    newer_data = []
    if not changed and not refresh:
        newer_data = show_newer_data(
            console, SourceCheck(context.project.data, request.sources, context.objects), context.use_case.source
        )
    console.result({**asdict(dataset), "changed": changed, "newer_data": newer_data})
    console.next("mlops run" if context.backend.infra.is_ready_to_run() else "mlops deploy-infra")
