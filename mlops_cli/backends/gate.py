"""A gate is a pytest suite that must pass: how it is started, and what it said in plain words."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mlops_cli.backends.base import GateReport
from mlops_cli.backends.local.process import Children
from mlops_cli.config import job_environment
from mlops_cli.stages import Stage

MOST_SHOWN = 5


def gate_command(script: str, report: Path) -> list[str]:
    """pytest on one file, away from the configuration of whatever surrounds the project."""
    options = [
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        f"--junitxml={report}",
    ]
    return [sys.executable, "-m", "pytest", *options, script]


def read_report(report: Path) -> dict[str, Any]:
    """Counts, and the message of every assertion that failed, from pytest's JUnit file."""
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 (pytest wrote it, just now)
    except (FileNotFoundError, ElementTree.ParseError):  # pytest did not come to its end
        cases = []
    failures = [_plain(case, problem) for case in cases for problem in case if problem.tag in ("failure", "error")]
    skipped = sum(1 for case in cases for child in case if child.tag == "skipped")
    return {"passed": len(cases) - len(failures) - skipped, "failed": len(failures), "failures": failures}


def _plain(case: ElementTree.Element, problem: ElementTree.Element) -> str:
    """The assertion's own words; pytest appends the compared values from the second line on."""
    message = (problem.get("message") or "").split("\n")[0]
    return f"{case.get('name')}: {message.removeprefix('AssertionError: ')}"


def gate_failure(stage: Stage, detail: Mapping[str, Any], tail: list[str], log: Path | str) -> str:
    """What failed in plain words; a gate on the endpoint says what that serves meanwhile."""
    reasons = detail["failures"] or tail or ["no test ran"]
    shown = [f"  - {reason}" for reason in reasons[:MOST_SHOWN]]
    more = [f"  ... and {len(reasons) - MOST_SHOWN} more"] if len(reasons) > MOST_SHOWN else []
    failed, total = detail["failed"], detail["failed"] + detail["passed"]
    count = f"{failed} of {total} tests" if failed else "it did not run"
    live = ["The endpoint goes on serving this model."] if "deploy" in stage.inputs else []
    return "\n".join([f"The gate {stage.name} failed: {count}.", *shown, *more, *live, f"Log: {log}"])


def gate_environment(training: Path, variables: Mapping[str, str]) -> dict[str, str]:
    return {"PYTHONPATH": str(training), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}


def run_gate(stage: Stage, training: Path, variables: Mapping[str, str]) -> GateReport:
    """Run a gate outside of any run; its traces are gone afterwards."""
    env = job_environment(gate_environment(training, variables))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        report = Path(folder) / "report.xml"
        lines: list[str] = []
        command = gate_command(stage.script, report)
        code = Children(Path(folder) / "children").run(command, training, env, log, lines.append)
        found = read_report(report)
    if not found["failed"] and (code != 0 or not found["passed"]):
        return GateReport(found["passed"], 1, [f"pytest ended with exit code {code}", *lines[-5:]])
    return GateReport(**found)
