"""Check that the resources of a company's account exist: the boundary, the key, the VPC. Skip unset settings.

`doctor` shows all findings. Commands that spend money first show the findings that would make them fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from mlops_cli.backends.aws.clients.secrets import missing_secrets
from mlops_cli.backends.aws.company_account import PARAMETERS, check_hosting, parameters
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.doctor.own_images import build_image, framework_images
from mlops_cli.backends.aws.doctor.policies.checks import bucket_policy, key_policy, read_key_policy
from mlops_cli.backends.aws.doctor.requirements import model_packages
from mlops_cli.backends.aws.errors import DENIED, AwsError
from mlops_cli.core.checks import Check, Finding, State, ok, run_checks
from mlops_cli.core.jobs import codeartifact
from mlops_cli.core.jobs.secret_addresses import create_command, location
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.values import Settings

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
    for setting in PARAMETERS:
        value = subject.settings[setting]
        if subject.settings.values[setting].origin == "default" or not value:
            continue
        if setting in NO_RESOURCE:
            yield ok(NAME, f"{setting} {value}: {NO_RESOURCE[setting]}")
        elif setting in CHECKS:
            yield from _checked(setting, CHECKS[setting], subject)


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
    if codeartifact.is_domain(address):
        return _package_repository(subject, address)
    if not list(missing_secrets(subject.account, {"": address})):
        return "", ""
    return f"the secret is not in {location(address)}. It must hold USER:PASSWORD.", create_command(address)


def _package_repository(subject: CheckContext, domain: str) -> tuple[str, str]:
    """Look for the domain and the repository; what is missing is AWS's error."""
    _, _, _, region, owner, resource = domain.split(":")
    named = {"domain": resource.partition("/")[2], "domainOwner": owner}
    client = subject.account.client("codeartifact", region)
    repository = codeartifact.repository_arn(domain, subject.settings["PACKAGE_INDEX_URL"]).rpartition("/")[2]
    if repository == "*":
        client.describe_domain(**named)
    else:
        client.describe_repository(**named, repository=repository)
    return "", ""


CHECKS: dict[str, CompanyCheck] = {
    "PERMISSIONS_BOUNDARY": _boundary,
    "KMS_KEY_ARN": _key,
    "VPC_ID": _network,
    "PACKAGE_INDEX_SECRET": _index_secret,
    "IMAGE_REGISTRY": framework_images,
    "BUILD_IMAGE": build_image,
}
# Settings that name nothing in AWS. The VPC's check is that of its subnets and security groups, too.
NO_RESOURCE = {
    "ROLE_PATH": "the permissions are checked with it",
    "RESOURCE_TAGS": "the permissions are checked with them",
    "PACKAGE_INDEX_URL": "not requested from here; builds and jobs must reach it",
}


def company_checks(subject: CheckContext) -> list[Check]:
    return [
        Check("company", lambda: company(subject)),
        Check("policy", lambda: key_policy(subject)),
        Check("policy", lambda: bucket_policy(subject)),
    ]


def company_problems(subject: CheckContext) -> list[Finding]:
    """Return what in the company's account would (FAILURE), or may (WARNING), make a command fail.

    Nothing is asked of AWS for a project without such settings.
    """
    if not _has_company(subject.settings):
        return []
    checks = [*company_checks(subject), Check("requirements", lambda: model_packages(subject))]
    return [finding for finding in run_checks(checks) if finding.state is not State.OK]


def _has_company(settings: Settings) -> bool:
    names = (*PARAMETERS, "BUCKET_NAME")
    return any(settings.values[name].origin != "default" and settings[name] for name in names)
