"""Run a gate, a pytest suite that must pass, on either target, and explain its failure in plain words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from mlops_cli.core.endpoint import GateReport
from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.script_job import describe_exit
from mlops_cli.core.jobs.time_limits import TimeLimits, time_limit_message
from mlops_cli.core.secrets import without_secrets
from mlops_cli.core.stages import FIRST_INPUT, Stage
from mlops_cli.files.atomic import read_json
from mlops_cli.plain_text import clipped, log_line
from mlops_cli.processes.child_process import Job, JobProcesses, TimeLimitError
from mlops_cli.processes.output_lines import LastLines, OutputLine
from mlops_cli.project.environment import job_environment

MOST_SHOWN = 5
MOST_KEPT = 100
# The result of a gate that ended before its tests were counted.
NOTHING_RAN: dict[str, Any] = {"passed": 0, "failed": 0, "failures": []}
# A key in the detail of a gate whose tests have no outcome: the reason.
UNFINISHED = "unfinished"


def folder_variables(folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the variables with the gate's input folders."""
    return {
        "MLOPS_DATA_DIR" if name == FIRST_INPUT else f"MLOPS_DATA_DIR_{name.upper()}": str(folder)
        for name, folder in folders.items()
    }


def execute_gate(
    stage: Stage,
    training: Path,
    environment: Mapping[str, str],
    runner: JobProcesses | Job,
    report: Path,
    log: IO[bytes],
    on_line: Callable[[OutputLine], None],
    time_limits: TimeLimits,
) -> dict[str, Any]:
    """Run the suite. Return its counts and failures from ``report``, the file that mlops' pytest plugin writes.

    Without this file the detail has the reason why the gate did not finish.
    """
    report.unlink(missing_ok=True)
    variables = {**environment, "MLOPS_GATE_REPORT": str(report.resolve())}
    minutes = time_limits.of(stage)
    try:
        code = runner.run(_command(stage.script), training, variables, log, on_line, minutes * 60)
    except TimeLimitError:
        return {**NOTHING_RAN, UNFINISHED: time_limit_message(stage.name, minutes)}
    written = read_json(report)
    if written is None:
        return {**NOTHING_RAN, UNFINISHED: f"pytest {describe_exit(code)} before its tests did"}
    outcome = {**NOTHING_RAN, **written}
    return {
        **outcome,
        "failures": [clipped(without_secrets(log_line(reason))) for reason in outcome["failures"][:MOST_KEPT]],
    }


def has_passed(detail: Mapping[str, Any]) -> bool:
    """Return True if no test failed and at least one passed. The exit code is no proof: the suite can change it."""
    return bool(detail["passed"] > 0 and detail["failed"] == 0)


def _command(script: str) -> list[str]:
    """Return the pytest command for one file, independent of any configuration around the project."""
    options = ["-v", "--no-header", "-p", "no:cacheprovider", "-p", "mlops_gate", "-c", os.devnull, "--rootdir", "."]
    return [sys.executable, "-m", "pytest", *options, script]


def gate_failure(stage: Stage, detail: Mapping[str, Any], tail: list[str], log: Path | str) -> str:
    """Return the failures in plain words."""
    reasons = detail["failures"] or tail
    shown = [f"  - {reason}" for reason in reasons[:MOST_SHOWN]]
    failed, total = detail["failed"], detail["failed"] + detail["passed"]
    unshown = max(len(reasons), failed if detail["failures"] else 0) - MOST_SHOWN
    more = [f"  ... and {unshown} more"] if unshown > 0 else []
    count = f"{failed} of {total} tests" if failed else "no test ran"
    unfinished = detail.get(UNFINISHED)
    problem = f"could not finish, so its tests have no result: {unfinished}" if unfinished else f"failed: {count}"
    return "\n".join([f"The gate {stage.name} {problem}.", *shown, *more, f"Log: {log}"])


def gate_environment(training: Path, variables: Mapping[str, str], passed: PassedVariables) -> dict[str, str]:
    return job_environment({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}, training, passed)


def run_gate(
    stage: Stage,
    training: Path,
    variables: Mapping[str, str],
    passed: PassedVariables,
    children: JobProcesses,
    time_limits: TimeLimits,
) -> GateReport:
    """Run a gate outside of any run, and remove its files."""
    environment = gate_environment(training, variables, passed)
    tail = LastLines(MOST_SHOWN)
    with children.job() as job, Path(os.devnull).open("wb") as log:
        detail = execute_gate(stage, training, environment, job, job.folder / "report.json", log, tail.add, time_limits)
    if unfinished := detail.get(UNFINISHED):
        return GateReport(0, 0, tail.texts, unfinished)
    if not has_passed(detail) and not detail["failed"]:
        return GateReport(detail["passed"], 1, [*(detail["failures"] or ["no test ran"]), *tail.texts])
    return GateReport(**detail)
