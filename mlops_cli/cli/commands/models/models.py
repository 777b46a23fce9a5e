"""``mlops models`` and ``mlops models show``"""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import app, get_context, handle_errors
from mlops_cli.cli.completion import complete_versions
from mlops_cli.cli.options import Json

models_app = typer.Typer(rich_markup_mode=None)
app.add_typer(models_app, name="models")


@models_app.callback(invoke_without_command=True, epilog="Example: mlops models show 3")
@handle_errors(only_shows=True)
def models(ctx: typer.Context, as_json: Json = False) -> None:
    """List models: origin, metrics, decision, time in service."""
    if not ctx.invoked_subcommand:
        _list_models(ctx)


@models_app.command("list", epilog="Example: mlops models list")
@handle_errors(only_shows=True)
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """List all models, as `mlops models` alone does."""
    _list_models(ctx)


def _list_models(ctx: typer.Context) -> None:
    from mlops_cli.console.models import models_dict, show_models

    context, console = get_context(ctx)
    versions, endpoint = context.backend.models.list_versions(), context.backend.endpoint.status()
    show_models(console, versions, endpoint.live_digest, context.use_case.metrics)
    console.result(models_dict(versions, endpoint.live_digest))


@models_app.command("show", epilog="Example: mlops models show 3")
@handle_errors(only_shows=True)
def show_model(
    ctx: typer.Context,
    version: Annotated[
        str,
        typer.Argument(
            help="The number of a version, or the first characters of a digest.",
            show_default=False,
            autocompletion=complete_versions,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show a model: origin, metrics, decision, time in service."""
    from mlops_cli.console.models import model_dict, show_version
    from mlops_cli.core.models.model_versions import find_version

    context, console = get_context(ctx)
    model = find_version(context.backend.models.list_versions(), version)
    live_digest = context.backend.endpoint.status().live_digest
    show_version(console, model, live_digest, context.use_case.metrics.split)
    console.result(model_dict(model, live_digest))
