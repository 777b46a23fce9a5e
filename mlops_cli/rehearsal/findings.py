"""The findings of a rehearsal, like those of `doctor`: problem, reason, fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from mlops_cli.core.checks import Finding, State
from mlops_cli.core.rehearsal import AccessDecision, short_role
from mlops_cli.core.runs import CONTINUE
from mlops_cli.errors import MlopsError
from mlops_cli.plain_text import clipped
from mlops_cli.project.paths import Project

LONGEST = 400
AGAIN = "then: mlops rehearse"
# The name of the user with whose credentials the commands of a rehearsal run.
CALLER = "rehearsal"
MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def problem(step: str, error: MlopsError) -> Finding:
    """Return the failure of a command: its first line as the problem, the other lines as the reason."""
    first, _, further_lines = error.message.partition("\n")
    lines = [line.strip() for line in further_lines.splitlines() if not line.startswith("Log: ")]
    reason = " ".join(lines[-3:]) or "The same command on AWS would fail so, too."
    fix = error.hint if error.hint != CONTINUE else ""
    return Finding(step, State.FAILURE, clipped(first, LONGEST), reason, fix or f"Fix it, {AGAIN}")


def missing_modules(texts: Iterable[str], packages_file: str) -> Iterator[Finding]:
    """Yield the modules that scripts could not import, by the texts of errors and logs.

    ``packages_file``: the list of packages that AWS installs for these scripts.
    """
    for module in sorted({match for text in texts for match in MISSING_MODULE.findall(text)}):
        yield Finding(
            "requirements",
            State.FAILURE,
            f"A script imports {module}, which the image on AWS does not have.",
            f"{packages_file} does not name its package, so nothing installs it there.",
            f"Add the package of {module} to {packages_file}, {AGAIN}",
        )


def refusals(decisions: Iterable[AccessDecision], project: Project, has_failed: bool) -> Iterator[Finding]:
    """Yield the denied actions of roles, as a warning if the run continued without them."""
    refused = sorted((each for each in decisions if not each.allowed), key=lambda each: (each.principal, each.action))
    for (role, action), group in groupby(refused, key=lambda each: (each.principal, each.action)):
        resources = sorted({decision.resource for decision in group})
        more = f" and {len(resources) - 1} others" if len(resources) > 1 else ""
        is_caller = role == CALLER
        name = "A caller with the permissions that mlops doctor checks" if is_caller else short_role(role)
        yield Finding(
            "permissions",
            State.FAILURE if has_failed else State.WARNING,
            f"{name} may not {action} on {resources[0]}{more}.",
            f"No policy of {'the caller' if is_caller else 'the role'} allows it; IAM on AWS would refuse it as well.",
            "Allow it for the callers of mlops on AWS, and report it as a bug of mlops"
            if is_caller
            else f"Allow it {_definition(project, short_role(role))}, or do without it; {AGAIN}",
        )


def _definition(project: Project, role: str) -> str:
    """Return where the role is defined."""
    for path in sorted((project.root / "templates").glob("*.y*ml")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if line.rstrip() == f"  {role}:":
                return f"in {Path('templates') / path.name}, line {number}, {role}"
    return f"in the policies of {role}"


def no_templates() -> Finding:
    return Finding(
        "templates",
        State.WARNING,
        "The project has no templates of the aws target.",
        "The rehearsal used those that come with mlops.",
        "mlops init . --aws",
    )


def shortfalls(reasons: Iterable[str]) -> Iterator[Finding]:
    for reason in reasons:
        yield Finding(
            "limits",
            State.WARNING,
            f"The model has a shortfall: {reason}.",
            "Its approval needs a reason, which the rehearsal gave.",
            "Train longer, or change the limits in usecase.toml, [metrics]",
        )


def excess(texts: Iterable[str]) -> Iterator[Finding]:
    for text in texts:
        yield Finding(
            "costs",
            State.FAILURE,
            f"{text[0].upper()}{text[1:]}.",
            "mlops would refuse to start it (by the list prices of us-east-1).",
            "Choose other instance types, or raise the limit in .env",
        )


def drift(answers: Iterable[str]) -> Iterator[Finding]:
    for answer in answers:
        yield Finding(
            "simulation",
            State.WARNING,
            f"The simulated AWS behaved in a way that AWS does not: {answer}",
            "The later results of this rehearsal do not apply to AWS.",
            "Report it as a bug of mlops",
        )
