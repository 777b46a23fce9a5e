"""``mlops download-data``"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from mlops_cli.cli import completion
from mlops_cli.cli.app import command, get_context, show_account
from mlops_cli.cli.options import Json


@command("download-data", "mlops download-data --source sample --rows 20000")
def download_data(
    ctx: typer.Context,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="kaggle, sample, a URL or a path. Repeat the option to join several sources.",
            autocompletion=completion.sources,
        ),
    ] = None,
    rows: Annotated[int | None, typer.Option(help="The number of rows of the sample.", show_default="20000")] = None,
    seed: Annotated[int, typer.Option(help="The random seed of the sample.")] = 42,
    sha256: Annotated[
        str | None, typer.Option(help="The expected SHA-256 of the downloaded file.", show_default=False)
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Check the server for newer data and download it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Download the dataset and check every row.

    Without --source, training/usecase.toml names the source.
    """
    from mlops_cli.console.output import show_dataset, show_newer_data
    from mlops_cli.data.origins import SourceCheck
    from mlops_cli.project.data_request import data_request
    from mlops_cli.project.settings import export_kaggle

    context, console = get_context(ctx)
    request = data_request(context.use_case, source or [], rows, seed, sha256)
    request = replace(request, most_bytes=context.most_download_bytes, refresh=refresh)
    export_kaggle(context.settings)
    show_account(context.backend.infra, console)
    with console.progress() as report:
        dataset, changed = context.backend.data.download(request, report)
    show_dataset(console, dataset, changed)
    newer_data = []
    if not changed and not refresh:
        newer_data = show_newer_data(
            console, SourceCheck(context.project.data, request.sources), context.use_case.source
        )
    console.result({**asdict(dataset), "changed": changed, "newer_data": newer_data})
    console.next("mlops run" if context.backend.infra.exists() else "mlops deploy-infra")
