"""Print each checker's number of findings for our templates and for the seed's:

``python -m tests.templates.report``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from tests.templates.checkers import (
    FALSE_ALARMS,
    cfn_lint,
    checkov,
    cloudformation_validate,
    cloudsplaining,
    parliament,
)
from tests.templates.policies import all_policies
from tests.templates.references.authorization import UNKNOWN_TO_THE_REFERENCE, problems
from tests.templates.template import FOLDER, NAMES

TEMPLATES = tuple(FOLDER / f"{name}.yaml" for name in NAMES)
# Measured on the seed's one template with the same tools.
SEED = {
    "cfn-lint": "3 warnings",
    "cloudformation-validate": "0 errors",
    "checkov": "5 failed",
    "parliament": "17: RESOURCE_STAR 8, UNKNOWN_ACTION 3, PERMISSIONS_MANAGEMENT 3, RESOURCE_MISMATCH 2, "
    "CREDENTIALS_EXPOSURE 1",
    "cloudsplaining": "privilege escalation by 2 roles, 223 unconstrained writes in one",
    "authorization reference": "-",
}


def counted(findings: list[str]) -> str:
    """Return the number of all findings, and of each kind."""
    kinds = ", ".join(f"{kind} {times}" for kind, times in Counter(findings).most_common())
    return f"{len(findings)}: {kinds}" if findings else "0"


def each(check: Callable[[Path], list[str]]) -> list[str]:
    return [finding for template in TEMPLATES for finding in check(template)]


def apart(findings: list[str], expected: Collection[str], label: str) -> str:
    """Return the number of findings, and how many of them are known and have a reason in the code."""
    explained = [finding for finding in findings if finding in expected]
    return f"{len(findings) - len(explained)}, and {len(explained)} {label}"


def ours() -> dict[str, str]:
    policies = all_policies()
    statements = [statement for policy in policies for statement in policy.statements]
    scanned = checkov(TEMPLATES)
    named = [finding for policy in policies for finding, _ in parliament(policy.document, community=True)]
    plain = [finding for policy in policies for finding, _ in parliament(policy.document)]
    risks = [risk for policy in policies for risk, actions in cloudsplaining(policy.document).items() for _ in actions]
    unfit = [problem for statement in statements for problem in problems(statement)]
    return {
        "cfn-lint": counted(each(cfn_lint)),
        "cloudformation-validate": apart(each(cloudformation_validate), FALSE_ALARMS, "false alarms"),
        "checkov": f"{len(scanned['failed'])} failed, {len(scanned['skipped'])} skipped with a reason",
        "parliament": f"{counted(plain)}; by names of actions alone {counted(named)}",
        "cloudsplaining": counted(risks),
        "authorization reference": apart(unfit, UNKNOWN_TO_THE_REFERENCE, "that an AWS guide requires"),
    }


def table() -> str:
    rows = [f"| {checker} | {SEED[checker]} | {figure} |\n" for checker, figure in ours().items()]
    return "".join(["| checker | the seed's template | ours |\n|---|---|---|\n", *rows])


if __name__ == "__main__":
    print(table(), end="")
