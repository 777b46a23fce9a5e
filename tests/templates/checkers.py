"""The public checkers of templates and policies. Each is a function that returns its findings as lines of text.

The table in the docs and the tests use the same findings, so each checker runs once.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.harness import CACHE, environment
from tests.conftest import LIMIT_SECONDS
from tests.templates.policies import Document

# Newer ones pin a boto3 that cannot stand beside ministack's, so checkov has an environment of its own.
CHECKOV = "checkov==3.3.30"


@cache
def cfn_lint(template: Path) -> list[str]:
    """Return all findings, also those of informational rules."""
    from cfnlint import lint
    from cfnlint.config import ManualArgs

    config = ManualArgs(include_checks=["I"])
    problems = lint(template.read_text(encoding="utf-8"), config=config)
    return [f"{match.rule.id} line {match.linenumber}: {match.message}" for match in problems]


# The validator does not look at the Fn::If around a reference in an output (in a resource it does), and thinks that
# two parameters never have the same value.
FALSE_ALARMS = (
    "W1001 Outputs/BucketName/Value.Fn::If.1: "
    "Reference to 'Bucket' which is conditional on 'Created' - target may not exist",
    "W8003 Conditions/Scaled: Fn::Equals in condition 'Scaled' will always return False",
)


@cache
def cloudformation_validate(template: Path) -> list[str]:
    """Return the errors and warnings of AWS's offline validation, false alarms included."""
    from cloudformation_validate import Severity

    diagnostics = _diagnostics(template)
    serious = (Severity.WARN, Severity.ERROR, Severity.FATAL)
    return [
        f"{diagnostic.rule_id} {diagnostic.property_path}: {diagnostic.message}"
        for diagnostic in diagnostics
        if diagnostic.severity in serious
    ]


def _diagnostics(template: Path) -> list[Any]:
    return list(_engine().validate_template(str(template)).diagnostics)


@cache
def _engine() -> Any:
    from cloudformation_validate import RegoEngine

    return RegoEngine()


@cache
def checkov(templates: tuple[Path, ...]) -> dict[str, list[str]]:
    """Return the failed and the skipped checks, each with its resource."""
    files = [argument for template in templates for argument in ("--file", str(template))]
    options = ["--framework", "cloudformation", "--output", "json", "--skip-download"]
    command = [str(_checkov_commands() / "python"), "-m", "checkov.main", *files, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode in (0, 1), f"checkov ended with {done.returncode}\n{done.stderr[-2000:]}"
    results = json.loads(done.stdout)["results"]
    return {
        outcome: [
            f"{result['check_id']} {result['resource']}: {result['check_name']}"
            for result in results[f"{outcome}_checks"]
        ]
        for outcome in ("failed", "skipped")
    }


def _checkov_commands() -> Path:
    """Return the path of checkov in its own Python. Several test processes may call this at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "checkov.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return environment(CHECKOV.replace("==", "-"), CHECKOV)


def parliament(policy: Document, community: bool = False) -> list[tuple[str, str]]:
    """Return the name and detail of every finding, also of low severity; ``community``: with its community auditors.

    The community auditors check only the names of actions, not the resources that limit them.
    """
    return _parliament(json.dumps(policy), community)


@cache
def _parliament(policy: str, community: bool) -> list[tuple[str, str]]:
    from parliament import analyze_policy_string

    findings = analyze_policy_string(policy, include_community_auditors=community).findings
    return [(finding.issue, str(finding.detail)) for finding in findings]


# The lists of cloudsplaining that are empty for a policy without a finding.
RISKS = (
    "allows_privilege_escalation",
    "allows_data_exfiltration_actions",
    "credentials_exposure",
    "permissions_management_without_constraints",
    "write_actions_without_constraints",
    "tagging_actions_without_constraints",
    "service_wildcard",
)


def cloudsplaining(policy: Document) -> dict[str, list[str]]:
    """Return the actions by kind of risk, without empty kinds."""
    return _cloudsplaining(json.dumps(policy))


@cache
def _cloudsplaining(policy: str) -> dict[str, list[str]]:
    from cloudsplaining.scan.policy_document import PolicyDocument

    document = PolicyDocument(json.loads(policy))
    result = {risk: [str(action) for action in getattr(document, risk)] for risk in RISKS}
    return {risk: actions for risk, actions in result.items() if actions}
