"""Check that the resources of a company's account exist: the boundary, the key, the VPC. Skip unset settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from mlops_cli.backends.aws.clients.secrets import missing_secrets
from mlops_cli.backends.aws.company_account import check_hosting, parameters
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.doctor.own_images import build_image, framework_images
from mlops_cli.backends.aws.doctor.policies.checks import read_key_policy
from mlops_cli.backends.aws.errors import DENIED, AwsError
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.core.jobs.secret_addresses import create_command, location
from mlops_cli.errors import ConfigurationError

NAME = "company"
# Returns a problem and its fix: two empty texts without a problem, an empty fix for the general one.
CompanyCheck = Callable[[CheckContext], tuple[str, str]]
BREAKS = "mlops deploy-infra, and runs after it, would fail."


def consistency(subject: CheckContext) -> Iterator[Finding]:
    """Check that these settings are consistent, without a request to AWS."""
    if error := _contradiction(subject):
        yield Finding(NAME, State.FAILURE, error.message, BREAKS, error.hint)


def _contradiction(subject: CheckContext) -> ConfigurationError | None:
    try:
        parameters(subject.settings)
        check_hosting(subject.use_case.machines.endpoint, bool(subject.settings["SUBNET_IDS"]))
    except ConfigurationError as error:
        return error
    return None


def company(subject: CheckContext) -> Iterator[Finding]:
    """Check that every resource that these settings name exists. Do nothing if the settings are inconsistent."""
    if _contradiction(subject):
        return
    for setting, check in CHECKS.items():
        if subject.settings.values[setting].origin != "default" and subject.settings[setting]:
            yield from _checked(setting, check, subject)


def _checked(setting: str, check: CompanyCheck, subject: CheckContext) -> Iterator[Finding]:
    value = subject.settings[setting]
    try:
        problem, fix = check(subject)
    except AwsError as error:
        if error.code in DENIED:
            yield Finding(
                NAME, State.WARNING, f"Not known: whether {setting} {value} can be used.", error.message, error.hint
            )
            return
        if not error.is_not_found:
            raise
        problem, fix = f"{error.aws_message or error.message}", ""
    if problem:
        fix = fix or f"Correct {setting}: mlops config"
        yield Finding(NAME, State.FAILURE, f"{setting} {value}: {problem}", BREAKS, fix)
    else:
        yield ok(NAME, f"{setting} {value}")


def _boundary(subject: CheckContext) -> tuple[str, str]:
    subject.account.client("iam").get_policy(PolicyArn=subject.settings["PERMISSIONS_BOUNDARY"])
    return "", ""


def _key(subject: CheckContext) -> tuple[str, str]:
    arn = subject.settings["KMS_KEY_ARN"]
    region = arn.split(":")[3]
    if region != subject.account.region:
        return f"the key is in {region}, and everything else in {subject.account.region}.", ""
    state = subject.account.client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
    if state != "Enabled":
        return f"the key is {state}.", ""
    for purpose, statement in read_key_policy(subject, arn).missing_statements():
        return f"its policy does not {purpose}.", f"Add to the key's policy: {json.dumps(statement)}"
    return "", ""


def _network(subject: CheckContext) -> tuple[str, str]:
    vpc, client = subject.settings["VPC_ID"], subject.account.client("ec2")
    subnets, groups = (subject.settings[name].split(",") for name in ("SUBNET_IDS", "SECURITY_GROUP_IDS"))
    described = {
        **{entry["SubnetId"]: entry["VpcId"] for entry in client.describe_subnets(SubnetIds=subnets)["Subnets"]},
        **{
            entry["GroupId"]: entry["VpcId"]
            for entry in client.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        },
    }
    elsewhere = sorted(name for name in (*subnets, *groups) if described.get(name) != vpc)
    return (f"{', '.join(elsewhere)} belong to another VPC." if elsewhere else ""), ""


def _index_secret(subject: CheckContext) -> tuple[str, str]:
    address = subject.settings["PACKAGE_INDEX_SECRET"]
    if not list(missing_secrets(subject.account, {"": address})):
        return "", ""
    return f"the secret is not in {location(address)}. It must hold USER:PASSWORD.", create_command(address)


CHECKS: dict[str, CompanyCheck] = {
    "PERMISSIONS_BOUNDARY": _boundary,
    "KMS_KEY_ARN": _key,
    "VPC_ID": _network,
    "PACKAGE_INDEX_SECRET": _index_secret,
    "IMAGE_REGISTRY": framework_images,
    "BUILD_IMAGE": build_image,
}
