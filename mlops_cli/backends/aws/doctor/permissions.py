"""Whether the caller may do all that the commands need, as IAM simulates it: nothing is tried out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.doctor.needs import Need, Place, needs
from mlops_cli.backends.aws.doctor.subject import Subject
from mlops_cli.backends.aws.refusals import DENIED, AwsError
from mlops_cli.doctor import Finding, State, ok

UNSEEN = "Whether the commands would be refused something is seen only when they are."


def permissions(subject: Subject) -> Iterator[Finding]:
    who = subject.account.identity.arn
    if who.endswith(":root"):
        yield ok("permissions", "the account's owner may do everything")
        return
    iam = subject.account.client("iam")
    principal = principal_of(who, iam)
    if not principal:
        yield _unseen(f"IAM cannot simulate what {who} may do.", "Sign in as a user or a role, and look again.")
        return
    wanted = needs(place_of(subject))
    try:
        lacking = [(need, missing) for need in wanted if (missing := refused(iam, principal, need))]
    except AwsError as error:
        yield _not_simulated(error, principal)
        return
    yield from (_lacking(need, missing, principal) for need, missing in lacking)
    if not lacking:
        actions = {action for need in wanted for action in need.actions}
        yield ok("permissions", f"all {len(actions)} that the commands need, says IAM's simulation")


def place_of(subject: Subject) -> Place:
    """What the needs are about: names that the stacks have given, as far as they are there."""
    names, settings, account = subject.names, subject.settings, subject.account
    storage = subject.own_stack(names.storage_stack)
    pipeline = subject.own_stack(names.pipeline_stack)
    outputs = storage.outputs if storage else {}
    facts = pipeline.outputs if pipeline else {}
    named = outputs.get("BucketName") or settings["BUCKET_NAME"]
    return Place(
        partition=account.identity.arn.split(":")[1],
        region=account.region,
        account=account.identity.account,
        names=names,
        endpoint=subject.endpoint,
        bucket=named or f"{names.storage_stack.lower()}-bucket-*",
        owned=outputs.get("BucketOwned", "true") == "true",
        source=facts.get("SourceType") or settings["SOURCE"],
        repository=facts.get("RepositoryName") or settings["REPOSITORY_NAME"] or subject.endpoint,
        connection=settings["CONNECTION_ARN"],
        mailed=bool(settings["NOTIFICATION_EMAIL"]),
    )


def principal_of(who: str, iam: Client) -> str:
    """The user or role whose policies count, as an ARN; empty for others. A session's ARN lacks its role's path."""
    _, partition, service, _, account, resource = who.split(":", 5)
    kind, _, rest = resource.partition("/")
    if service == "iam":
        return who if kind == "user" else ""
    if kind != "assumed-role":
        return ""
    role = rest.split("/")[0]
    try:
        return str(iam.get_role(RoleName=role)["Role"]["Arn"])
    except AwsError as error:
        if error.code not in DENIED:
            raise
    return f"arn:{partition}:iam::{account}:role/{role}"


def refused(iam: Client, principal: str, need: Need) -> list[str]:
    """Those of the needed actions that a policy denies or none allows."""
    context = [_context("iam:PassedToService", need.passed_to)] if need.passed_to else []
    results = iam.pages(
        "simulate_principal_policy",
        "EvaluationResults",
        PolicySourceArn=principal,
        ActionNames=list(need.actions),
        ResourceArns=[need.example],
        ContextEntries=context,
    )
    return [one["EvalActionName"] for one in results if one["EvalDecision"] != "allowed"]


def _context(name: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}


def _lacking(need: Need, missing: Iterable[str], principal: str) -> Finding:
    actions = ", ".join(missing)
    to = f", passing it to {need.passed_to}" if need.passed_to else ""
    commands = " and ".join(f"mlops {name}" for name in need.commands.split(", "))
    only_looks = need.commands == "doctor"
    return Finding(
        "permissions",
        State.WARNING if only_looks else State.FAILURE,
        f"You may not {actions} on {need.resource}{to}.",
        f"{commands} would be refused." if not only_looks else "mlops doctor cannot look at that.",
        f"Have it allowed for {principal}, then look again: mlops doctor",
    )


def _not_simulated(error: AwsError, principal: str) -> Finding:
    if error.code in DENIED:
        return _unseen(
            "IAM does not let you simulate your own permissions.",
            f"Have iam:SimulatePrincipalPolicy allowed for you on {principal}.",
        )
    return _unseen(f"IAM could not simulate the permissions of {principal}: {error.message}", error.hint)


def _unseen(what: str, mend: str) -> Finding:
    return Finding("permissions", State.WARNING, what, UNSEEN, mend)
