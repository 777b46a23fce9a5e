"""Check the caller's permissions for all commands with IAM's policy simulator, which executes no action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.doctor.required_permissions import (
    ArnContext,
    RequiredPermission,
    required_permissions,
)
from mlops_cli.backends.aws.errors import DENIED, AwsError
from mlops_cli.backends.aws.resource_names import generated_bucket
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.project.settings.values import Settings

UNSEEN = "A missing permission shows only when a command is refused."


def permissions(subject: CheckContext) -> Iterator[Finding]:
    caller_arn = subject.account.identity.arn
    if caller_arn.endswith(":root"):
        yield ok("permissions", "the root user may do everything")
        return
    iam = subject.account.client("iam")
    role_arn = principal(caller_arn, iam)
    if not role_arn:
        yield _unknown_finding(
            f"IAM cannot simulate what {caller_arn} may do.", "Sign in as a user or a role, then: mlops doctor"
        )
        return
    required = required_permissions(arn_context(subject))
    try:
        request_values = request_context(subject.settings)
        lacking = [(need, missing) for need in required if (missing := refused(iam, role_arn, need, request_values))]
    except AwsError as error:
        if error.is_about_credentials:
            raise
        yield _not_simulated(error, role_arn)
        return
    yield from (_missing_finding(need, missing, role_arn) for need, missing in lacking)
    if not lacking:
        actions = {action for need in required for action in need.actions}
        yield ok("permissions", f"all {len(actions)} that the commands need, by IAM's simulation")


def arn_context(subject: CheckContext) -> ArnContext:
    """Return the names in the permissions' ARNs, as far as the stacks know them."""
    names, settings, account = subject.names, subject.settings, subject.account
    storage = subject.own_stack(names.storage_stack)
    pipeline = subject.own_stack(names.pipeline_stack)
    bucket = storage.outputs if storage else {}
    outputs = pipeline.outputs if pipeline else {}
    named = bucket.get("BucketName") or settings["BUCKET_NAME"]
    return ArnContext(
        partition=account.identity.partition,
        region=account.region,
        account=account.identity.account,
        names=names,
        endpoint=subject.endpoint,
        bucket=named or generated_bucket(names),
        owned=bucket.get("BucketOwned", "true") == "true",
        source=outputs.get("SourceType") or settings["SOURCE"],
        repository=outputs.get("RepositoryName") or settings["REPOSITORY_NAME"] or subject.endpoint,
        connection=settings["CONNECTION_ARN"],
        sends_mail=bool(settings["NOTIFICATION_EMAIL"]),
        company={name: settings[name] for name in company_account.PARAMETERS},
        has_secrets=bool(subject.use_case.passed.secrets),
        images=subject.use_case.own_images,
    )


def principal(caller_arn: str, iam: Client) -> str:
    """Return the ARN of the user or role with the policies, else "". The ARN of a session lacks its role's path."""
    _, partition, service, _, account, resource = caller_arn.split(":", 5)
    kind, _, path = resource.partition("/")
    if service == "iam":
        return caller_arn if kind == "user" else ""
    if kind != "assumed-role":
        return ""
    role = path.split("/")[0]
    try:
        return str(iam.get_role(RoleName=role)["Role"]["Arn"])
    except AwsError as error:
        if error.code not in DENIED:
            raise
    return f"arn:{partition}:iam::{account}:role/{role}"


def request_context(settings: Settings) -> dict[str, str]:
    """Return the condition keys of requests that create resources, because a company's policies may require them."""
    boundary = settings["PERMISSIONS_BOUNDARY"]
    tags = company_account.tags_of(settings["RESOURCE_TAGS"]).items()
    return {
        **({"iam:PermissionsBoundary": boundary} if boundary else {}),
        **{f"aws:RequestTag/{name}": value for name, value in tags},
    }


def refused(
    iam: Client, principal: str, need: RequiredPermission, request_values: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Return the needed actions that a policy denies or that no policy allows, for requests with these values."""
    passed = {"iam:PassedToService": need.passed_to} if need.passed_to else {}
    context = [_context(name, value) for name, value in {**request_values, **passed}.items()]
    results = iam.pages(
        "simulate_principal_policy",
        "EvaluationResults",
        PolicySourceArn=principal,
        ActionNames=list(need.actions),
        ResourceArns=[need.example],
        ContextEntries=context,
    )
    return [result["EvalActionName"] for result in results if result["EvalDecision"] != "allowed"]


def _context(name: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}


def _missing_finding(need: RequiredPermission, missing: Iterable[str], principal: str) -> Finding:
    actions = ", ".join(missing)
    to = f", passing it to {need.passed_to}" if need.passed_to else ""
    commands = " and ".join(f"mlops {name}" for name in need.commands.split(", "))
    only_looks = need.commands == "doctor"
    return Finding(
        "permissions",
        State.WARNING if only_looks else State.FAILURE,
        f"You may not {actions} on {need.resource}{to}.",
        f"{commands} would be refused." if not only_looks else "mlops doctor cannot check that.",
        f"Allow it for {principal}, then check again: mlops doctor",
    )


def _not_simulated(error: AwsError, principal: str) -> Finding:
    if error.code in DENIED:
        return _unknown_finding(
            "IAM does not let you simulate your own permissions.",
            f"Get the permission iam:SimulatePrincipalPolicy on {principal}.",
        )
    return _unknown_finding(f"IAM could not simulate the permissions of {principal}: {error.message}", error.hint)


def _unknown_finding(problem: str, fix: str) -> Finding:
    return Finding("permissions", State.WARNING, problem, UNSEEN, fix)
