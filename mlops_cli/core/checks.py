"""What an examination finds, as data: what it is, why it matters, and the command that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from mlops_cli.errors import MlopsError


class State(str, Enum):
    """FAILURE: a command would fail, or has left something that does. WARNING: it may, or something costs for nothing.

    What could not be looked at is a WARNING, too.
    """

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """``what`` is a sentence or a figure, ``why`` says why it matters, ``mend`` is what to do: a command if there is.

    Of what is OK only ``what`` is said.
    """

    name: str
    state: State
    what: str
    why: str = ""
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state.value}


@dataclass(frozen=True)
class Check:
    """One look at one subject, which may find several things, or nothing."""

    name: str
    look: Callable[[], Iterable[Finding]]


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """What the checks find, one after another; one that raises is a finding itself, and stops no other."""
    for check in checks:
        try:
            yield from check.look()
        except MlopsError as error:
            yield _check_error(check, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other checks are made)
            yield _check_error(check, f"{type(error).__name__}: {error}", "")


def _check_error(check: Check, message: str, hint: str) -> Finding:
    return Finding(
        check.name, State.WARNING, f"Not known: {message}", "It could not be looked at, so it may be wrong.", hint
    )


def ok(name: str, detail: str) -> Finding:
    return Finding(name, State.OK, detail)


def settings_failure(problem: str) -> Finding:
    """Of a setting or the use case, without which nothing else can be looked at."""
    return Finding(
        "settings",
        State.FAILURE,
        problem,
        "No command works with it, and nothing of the target could be looked at.",
        "Put it right (mlops config shows where each setting comes from), then look again: mlops doctor",
    )
