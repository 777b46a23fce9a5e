"""The last part of every command that runs stages: the run's result, and the next command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_cli.errors import NoEndpointError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend, Runs
    from mlops_cli.console import Console
    from mlops_cli.core.runs import Run


def show_result(backend: Backend, console: Console, current: Run) -> None:
    """Show the evidence of a run that waits for approval, or the endpoint of a finished run. Name the next command."""
    from mlops_cli.console import output
    from mlops_cli.core.runs import Status

    if current.status is Status.DONE:
        served = backend.endpoint.status()
        output.show_endpoint(console, served)
        output.show_next(console, current, served)
        return
    if current.status is Status.WAITING:
        output.show_evidence(console, backend.approvals.evidence(current))
    console.next(output.next_command(current))


@contextmanager
def continue_newest_run(runs: Runs) -> Iterator[None]:
    """Let the error of a missing endpoint name the command that continues the newest run."""
    from mlops_cli.console.output import next_command
    from mlops_cli.core.runs import Status

    try:
        yield
    except NoEndpointError as error:
        actions = {Status.WAITING: "waits for a decision", Status.RUNNING: "is running"}
        newest = next((run for run in runs.list_runs() if run.status in actions), None)
        if newest is not None:
            error.hint = f"Run {newest.id} {actions[newest.status]}: {next_command(newest)}"
        raise
