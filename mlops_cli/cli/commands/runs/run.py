"""``mlops run``"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import (
    command,
    get_context,
    show_account,
    show_undeployed_settings,
    show_unsent_inputs,
    show_warnings,
)
from mlops_cli.cli.completion import complete_hyperparameters, complete_stage_names
from mlops_cli.cli.options import Json, Yes, YesCost
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError, NoDatasetError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Runs
    from mlops_cli.cli.context import AppContext
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.core.runs import Run, RunRequest

# A limit of --explain: files that these processes open are not recorded.
UNSEEN = (
    "not detected: files outside of the scripts' folder that another program or native code (tf.data, Polars, PyArrow) "
    "opens; in the folder every file counts"
)


Detach = Annotated[bool, typer.Option("--detach", help="Continue in the background.")]
FromStage = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="STAGE",
        help="Start a new run at this stage; reuse the results of earlier stages.",
        show_default=False,
        autocompletion=complete_stage_names,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Run every stage, even if nothing has changed.")]
Explain = Annotated[bool, typer.Option("--explain", help="Print why each stage ran or was reused.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a hyperparameter. Can be repeated.",
        autocompletion=complete_hyperparameters,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Train in N processes; the same as --set train.workers=N."),
]


@command("run", "mlops run --set train.epochs=3")
def run(
    ctx: typer.Context,
    detach: Detach = False,
    from_stage: FromStage = "",
    force: Force = False,
    explain: Explain = False,
    set_: Overrides = None,
    workers: Workers = None,
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """Start a run, or continue an interrupted one.

    The run stops at the approval, where a person decides. A first run downloads the data that usecase.toml names.
    """
    from mlops_cli.cli.run_result import show_result
    from mlops_cli.console.output import run_dict, show_newer_data
    from mlops_cli.core.runs import RunRequest, parse_overrides
    from mlops_cli.data.origins import SourceCheck
    from mlops_cli.project.settings.exports import export_kaggle

    context, console = get_context(ctx)
    overrides = [*(set_ or []), *([f"train.workers={workers}"] if workers else [])]
    request = RunRequest(parse_overrides(overrides), from_stage, force, detach)
    cost_approval = context.cost_approval(console, yes, yes_cost)
    _check_project(context, console, from_stage)
    export_kaggle(context.settings)
    source_check = SourceCheck(context.project.data, context.use_case.addresses, context.objects)
    # A background run logs itself to MLflow at its end.
    with nullcontext() if detach else context.log_to_tracking(console.say):
        current, changed = _start_with_data(context, console, request, cost_approval, explain)
    newer_data = show_newer_data(console, source_check, context.use_case.source)
    if detach and changed:
        console.say(f"run {current.id} continues in the background")
        console.next("mlops logs --follow")
    else:
        show_result(context.backend, console, current)
    costs = cost_approval.to_dict()
    console.result({**run_dict(current), "changed": changed, "newer_data": newer_data, "costs": costs})


def _check_project(context: AppContext, console: Console, from_stage: str) -> None:
    """Show what a person should know before the run. Raise MlopsError if a script, a package or a secret is missing."""
    from mlops_cli.console.output import show_changed_columns
    from mlops_cli.project.required_scripts import require_scripts

    infra = context.backend.infra
    show_account(infra, console)
    show_undeployed_settings(infra, console)
    show_warnings(infra, console)
    show_unsent_inputs(infra, console)
    require_scripts(context.project.training, from_stage)
    infra.require_secrets()
    show_changed_columns(console, context.project.data, context.use_case.columns)


def _start_with_data(
    context: AppContext, console: Console, request: RunRequest, cost_approval: CostApproval, explain: bool
) -> tuple[Run, bool]:
    """Do as ``start``; download the data first if there is no dataset."""
    try:
        return start(context.backend.runs, console, request, cost_approval, explain)
    except NoDatasetError:
        if request.from_stage:  # no other run has the earlier stages either
            raise
    _download_data(context, console)
    return start(context.backend.runs, console, request, cost_approval, explain)


def _download_data(context: AppContext, console: Console) -> None:
    from mlops_cli.cli.dataset import download
    from mlops_cli.project.usecase.data_request import data_request

    console.say("$ mlops download-data")
    download(context.backend.data, console, context.completed(data_request(context.use_case)))
    console.say("\n$ mlops run")


def start(
    runs: Runs, console: Console, request: RunRequest, cost_approval: CostApproval, explain: bool = False
) -> tuple[Run, bool]:
    """Start or continue a run. Show it to its end or the approval. Return it, and True if anything changed."""
    from mlops_cli.console import output
    from mlops_cli.core.runs import describe_kept_overrides

    try:
        with console.run_view(explain) as view:
            current, changed = runs.start(request, view, cost_approval.approve)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; no process of the run is running.", "Continue: mlops run", EXIT_INTERRUPTED
        ) from None
    if changed and (kept := _kept(current, request)):
        console.say(f"run {current.id} continues an earlier one: {describe_kept_overrides(kept)}")
    if not changed:
        console.say(f"nothing changed since run {current.id}, which is {current.status.value}")
        if explain:
            output.show_run(console, current, explain=True)
    if explain:
        console.say(UNSEEN)
    return current, changed


def _kept(current: Run, request: RunRequest) -> dict[str, str]:
    """Return the options of the earlier command that the run keeps. The stage may be missing in a name."""
    overrides = {*request.overrides}
    return {
        name: value for name, value in current.overrides.items() if overrides.isdisjoint((name, name.split(".")[-1]))
    }
