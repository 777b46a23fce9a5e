"""The first minute: from nothing to a tested endpoint on the built-in sample, with the commands named as they run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlops_cli.backends.base import Backend
from mlops_cli.console import Console, reports
from mlops_cli.errors import MlopsError
from mlops_cli.flows import build, decide, start
from mlops_cli.probe import probe
from mlops_cli.runs import RunRequest, Status
from mlops_cli.usecase import UseCase

COMMENT = "quickstart"


def tour(backend: Backend, console: Console, use_case: UseCase, yes: bool) -> dict[str, Any]:
    """Sample → provision → run → evidence → approval → endpoint → gate → one prediction → what next."""
    console.require_person(yes)
    _data(backend, console, use_case)
    console.say("\n$ mlops deploy-infra")
    build(backend, console, dry_run=False, yes=yes)
    console.say("\n$ mlops run")
    run, _ = start(backend, console, RunRequest())
    if run.status is Status.WAITING:
        console.say(f"\n$ mlops approve --run-id {run.id}")
        run, _ = decide(backend, console, run.id, True, COMMENT, yes)
    console.say("\n$ mlops test-endpoint")
    found = probe(backend.invoke, list(use_case.examples))
    reports.show_probe(console, found)
    for line in ("mlops status", "mlops run --explain", "mlops run --set train.epochs=3", "mlops cleanup"):
        console.next(line)
    return {"run": reports.run_dict(run), "probe": asdict(found)}


def _data(backend: Backend, console: Console, use_case: UseCase) -> None:
    """The sample, unless this project already has data of its own, which is never replaced unasked."""
    present = backend.dataset()
    if present and not present.synthetic:
        raise MlopsError(
            f"This project already holds data from {present.source}; quickstart would replace it.",
            "Go on with it: mlops run. Or start over: mlops cleanup",
        )
    console.say("$ mlops download-data --source sample")
    with console.progress() as report:
        dataset, changed = backend.put_data(use_case.data_request(["sample"]), report)
    reports.show_dataset(console, dataset, changed)
