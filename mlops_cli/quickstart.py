"""The first minute: from nothing to a tested endpoint on data at hand, with the commands named as they run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlops_cli.backends.base import Backend
from mlops_cli.console import Console, reports
from mlops_cli.errors import MlopsError
from mlops_cli.flows import build, decide, start
from mlops_cli.probe import probe
from mlops_cli.runs import RunRequest, Status
from mlops_cli.spending import Spending
from mlops_cli.usecase import UseCase


def tour(backend: Backend, console: Console, use_case: UseCase, yes: bool, spending: Spending) -> dict[str, Any]:
    """Data → provision → run → evidence → approval → endpoint → gate → one prediction → what next.

    It ends early if the person says no. Raises ConfigurationError for a model that falls short: who approves that one
    must say why.
    """
    console.require_person(yes)
    _data(backend, console, use_case)
    console.say("\n$ mlops deploy-infra")
    build(backend, console, False, yes, spending)
    console.say("\n$ mlops run")
    run, _ = start(backend, console, RunRequest(), spending)
    if run.status is Status.WAITING:
        console.say(f"\n$ mlops approve --run-id {run.id}")
        run, _ = decide(backend, console, run.id, True, "", yes, spending)
    if run.status is not Status.DONE:
        console.next(reports.next_command(run))
        return {"run": reports.run_dict(run), "probe": None}
    console.say("\n$ mlops test-endpoint")
    found = probe(backend.invoke, list(use_case.examples))
    reports.show_probe(console, found)
    console.next("mlops status", "mlops run --explain", *_another(use_case), "mlops cleanup")
    return {"run": reports.run_dict(run), "probe": asdict(found)}


def _data(backend: Backend, console: Console, use_case: UseCase) -> None:
    """The use case's quickstart data, unless there is data of another kind, which is never replaced unasked."""
    request = use_case.quickstart_request()
    present = backend.dataset()
    if present and not present.synthetic and present.source != request.shown():
        raise MlopsError(
            f"This project already holds data from {present.source}; quickstart would replace it.",
            "Go on with it: mlops run. Or start over: mlops cleanup",
        )
    named = "" if use_case.quickstart == use_case.source else f" --source {use_case.quickstart}"
    console.say(f"$ mlops download-data{named}")
    with console.progress() as report:
        dataset, changed = backend.put_data(request, report)
    reports.show_dataset(console, dataset, changed)


def _another(use_case: UseCase) -> list[str]:
    """A run that differs, if the use case trains in epochs."""
    epochs = use_case.hyperparameters.get("train", {}).get("epochs", "")
    return [f"mlops run --set train.epochs={int(epochs) + 1}"] if epochs.isdecimal() else []
