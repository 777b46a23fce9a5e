"""``mlops quickstart``: run the other commands in order, with data that needs no account, and name each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json, Yes, YesCost
from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend, Data
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.data.request import DataRequest
    from mlops_cli.project.usecase.use_case import UseCase


@command("quickstart", "mlops quickstart --yes")
def quickstart(ctx: typer.Context, yes: Yes = False, yes_cost: YesCost = False, as_json: Json = False) -> None:
    """Run all stages, from data to a tested endpoint.

    The data source is [data] quickstart of usecase.toml.
    """
    from mlops_cli.project.required_scripts import require_scripts

    context, console = get_context(ctx)
    cost_approval = context.cost_approval(console, yes, yes_cost)
    require_scripts(context.project.training)
    with context.log_to_tracking(console.say):
        result = run_all_stages(context.backend, console, context.use_case, yes, cost_approval, context.completed)
    console.result(result)


def run_all_stages(
    backend: Backend,
    console: Console,
    use_case: UseCase,
    yes: bool,
    cost_approval: CostApproval,
    completed: Callable[[DataRequest], DataRequest],
) -> dict[str, Any]:
    """Run everything from the data to predictions of the endpoint. Stop at the first "no".

    Raise ConfigurationError for a model with a shortfall, because its approval needs a reason.
    """
    from mlops_cli.cli.commands.infrastructure.deploy_infra import show_and_deploy
    from mlops_cli.cli.commands.models.approve import show_and_decide
    from mlops_cli.cli.commands.runs.run import start
    from mlops_cli.console import output
    from mlops_cli.core.runs import RunRequest, Status
    from mlops_cli.monitoring.endpoint_check import check_endpoint

    console.require_person(yes)
    backend.infra.require_secrets()
    _download_data(backend.data, console, use_case, completed)
    if not backend.infra.is_ready_to_run():
        console.say("\n$ mlops deploy-infra")
        show_and_deploy(backend.infra, console, False, yes, cost_approval)
    console.say("\n$ mlops run")
    run, _ = start(backend.runs, console, RunRequest(), cost_approval)
    if run.status is Status.WAITING:
        console.say(f"\n$ mlops approve {run.id}")
        run, _ = show_and_decide(backend, console, run.id, True, "", yes, cost_approval)
    if run.status is not Status.DONE:
        console.next(output.next_command(run))
        return {"run": output.run_dict(run), "probe": None}
    console.say("\n$ mlops test-endpoint")
    predictions = check_endpoint(backend.endpoint, list(use_case.examples))
    output.show_endpoint_check(console, predictions)
    console.next("mlops status", "mlops run --explain", *_longer_training(use_case), "mlops cleanup")
    return {"run": output.run_dict(run), "probe": asdict(predictions)}


def _download_data(
    data: Data, console: Console, use_case: UseCase, completed: Callable[[DataRequest], DataRequest]
) -> None:
    """Download the use case's quickstart data. Keep a dataset from another source."""
    from mlops_cli.cli.dataset import download
    from mlops_cli.project.usecase.data_request import quickstart_request

    request = completed(quickstart_request(use_case))
    present = data.dataset()
    if present and not present.synthetic and present.source != request.shown():
        raise MlopsError(
            f"This project already holds data from {present.source}; quickstart would replace it.",
            "Continue: mlops run. Or start over: mlops cleanup",
        )
    option = "" if use_case.quickstart == use_case.source else f" --source {use_case.quickstart}"
    console.say(f"$ mlops download-data{option}")
    download(data, console, request)


def _longer_training(use_case: UseCase) -> list[str]:
    """Return a command for a run with more epochs, if the use case trains in epochs."""
    from mlops_cli.core.stages import TRAINING

    epochs = use_case.hyperparameters.get(TRAINING.name, {}).get("epochs", "")
    return [f"mlops run --set train.epochs={int(epochs) + 1}"] if epochs.isdecimal() else []
