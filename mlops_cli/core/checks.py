"""The findings of health checks, as data: the problem, its reason, and the command that fixes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from mlops_cli.errors import MlopsError


class State(str, Enum):
    """FAILURE: a command would fail. WARNING: a command may fail, or an unused resource costs money.

    A check that could not run is a WARNING, too.
    """

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One finding. ``message``: a sentence or a figure; ``reason``: its cause; ``fix``: a command if possible.

    A finding that is OK has only ``message``.
    """

    name: str
    state: State
    message: str
    reason: str = ""
    fix: str = ""

    @property
    def in_one_line(self) -> str:
        return " ".join(part for part in (self.message, self.reason, f"Fix: {self.fix}" if self.fix else "") if part)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state.value}


@dataclass(frozen=True)
class Check:
    """One check of one subject, with any number of findings."""

    name: str
    find: Callable[[], Iterable[Finding]]


def _stops_no_check(_: MlopsError) -> bool:
    return False


def run_checks(checks: Sequence[Check], stops_all: Callable[[MlopsError], bool] = _stops_no_check) -> Iterator[Finding]:
    """Yield the findings of the checks. A check that raises becomes a finding and stops no other check.

    ``stops_all``: returns True for an error with which every further check would fail.
    """
    for number, check in enumerate(checks):
        try:
            yield from check.find()
        except MlopsError as error:
            if stops_all(error):
                yield _not_checked(error, [left.name for left in checks[number:]])
                return
            yield _check_error(check, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other checks are made)
            yield _check_error(check, f"{type(error).__name__}: {error}", "")


def _check_error(check: Check, message: str, hint: str) -> Finding:
    return Finding(check.name, State.WARNING, f"Not known: {message}", "It was not checked, so it may be wrong.", hint)


def _not_checked(error: MlopsError, names: Sequence[str]) -> Finding:
    listed = ", ".join(dict.fromkeys(names))
    reason = f"These checks were not finished: {listed}."
    return Finding(names[0], State.FAILURE, error.message, reason, error.hint)


def ok(name: str, detail: str) -> Finding:
    return Finding(name, State.OK, detail)


def misspelled_setting(problem: str) -> Finding:
    return Finding("settings", State.WARNING, problem, "It has no effect.", "Correct the name")


def repeated_setting(problem: str) -> Finding:
    return Finding("settings", State.WARNING, problem, "The lines above it have no effect.", "Keep one line in .env")


def settings_failure(problem: str) -> Finding:
    """Return the failure for a wrong setting or use case. All other checks depend on these."""
    return Finding(
        "settings",
        State.FAILURE,
        problem,
        "No command works with it, and the target was not checked.",
        "Fix it (mlops config shows where each setting comes from), then check again: mlops doctor",
    )
