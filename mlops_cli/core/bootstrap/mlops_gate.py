"""A pytest plugin: write the outcome of each test of a gate to the file in MLOPS_GATE_REPORT, as JSON.

It runs in the gate's process and imports nothing of mlops. A test counts once, even if several phases or subtests fail,
so that the counts add up. Collection errors and exits of pytest are reported, too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

FAILED, SKIPPED, PASSED = "failed", "skipped", "passed"


class Outcomes:
    """The outcome and the reasons of every test, by its id."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.collected: list[str] = []
        self.outcomes: dict[str, str] = {}
        self.failures: list[str] = []
        self.omissions: list[str] = []  # why tests were skipped or not collected

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        if issubclass(warning_message.category, pytest.PytestCollectionWarning):
            self.omissions.append(str(warning_message.message))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._fail(report)
        elif report.skipped:
            self.omissions.append(f"{_short(report.nodeid)}: skipped: {_skip_reason(report)}")

    def pytest_collection_finish(self, session: Any) -> None:
        self.collected = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._fail(report)
        elif self.outcomes.get(report.nodeid) != FAILED and not _is_subtest(report):
            if report.skipped:
                self.outcomes[report.nodeid] = SKIPPED
                self.omissions.append(f"{_short(report.nodeid)}: skipped: {_skip_reason(report)}")
            elif report.when == "call":
                self.outcomes[report.nodeid] = PASSED

    def pytest_internalerror(self, excinfo: Any) -> None:
        self.outcomes["pytest itself"] = FAILED
        self.failures.append(f"pytest itself: {excinfo.exconly()}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        unrun = [name for name in self.collected if name not in self.outcomes]
        ends = list(self.outcomes.values())
        failures = [*self.failures, *(f"{_short(name)}: it did not run" for name in unrun)]
        if not failures and PASSED not in ends:
            failures = self.omissions or ["it has no function test_... and no class Test... with such a method"]
        report = {"passed": ends.count(PASSED), "failed": ends.count(FAILED) + len(unrun), "failures": failures}
        partial = self.file.with_name(f"{self.file.name}.partial")
        partial.write_text(json.dumps(report), encoding="utf-8")
        partial.replace(self.file)

    def _fail(self, report: Any) -> None:
        """Record a failure.

        pytest also reports a test with failed subtests itself: the subtests' reasons are enough.
        """
        is_repeated = self.outcomes.get(report.nodeid) == FAILED and not _is_subtest(report)
        self.outcomes[report.nodeid] = FAILED
        if not (is_repeated and "subtest" in _reason(report)):
            self.failures.append(f"{_short(report.nodeid)}: {_reason(report)}")


def _is_subtest(report: Any) -> bool:
    return type(report).__name__ in ("SubTestReport", "SubtestReport")


def _short(nodeid: str) -> str:
    return nodeid.split("::", 1)[-1]


def _skip_reason(report: Any) -> str:
    """Return the reason of a skip.

    Only a skip's longrepr is a file, a line and a text. An expected failure is a skip to pytest, too.
    """
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return str(reason).removeprefix("Skipped: ")


def _reason(report: Any) -> str:
    """Return the assertion's message; without one, the last line that pytest marks as the error."""
    crash = getattr(report.longrepr, "reprcrash", None)
    marked = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]
    message = crash.message if crash else (marked or report.longreprtext.splitlines() or ["it failed"])[-1]
    return str(message.split("\n")[0].removeprefix("AssertionError: "))


def pytest_configure(config: pytest.Config) -> None:
    # pytest caches the rewritten suite in this folder, and detects an outdated one only by size and time.
    sys.pycache_prefix = os.path.join(os.devnull, "none")  # noqa: PTH118 (a prefix, no path)
    file = os.environ.pop("MLOPS_GATE_REPORT", "")
    if file:
        config.pluginmanager.register(Outcomes(Path(file)), "mlops-outcomes")
