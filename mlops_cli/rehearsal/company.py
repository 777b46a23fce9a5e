"""A company's account in a rehearsal: create the resources that its settings name in the simulated account."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlops_cli.backends.aws.company_account import check_hosting, parameters
from mlops_cli.backends.aws.infra.image_registry import in_registry, repository
from mlops_cli.backends.aws.infra.stack_parameters import image_addresses
from mlops_cli.core.jobs import codeartifact
from mlops_cli.core.jobs.secret_addresses import is_parameter, secret_name
from mlops_cli.project.settings.company_settings import COMPANY_SETTINGS
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.rehearsal.caller import ACCOUNT
from mlops_cli.rehearsal.simulated_aws import REGION, SimulatedAws

NAMES = tuple(name for name, *_ in COMPANY_SETTINGS)
REGISTRY = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
CODEARTIFACT_HOST = re.compile(r"-[0-9]{12}\.d\.codeartifact\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/")
CREDENTIAL = "rehearsal:made-up-by-the-rehearsal"


def simulated_settings(aws: SimulatedAws, settings: Mapping[str, str], use_case: UseCase) -> dict[str, str]:
    """Return the settings with the ARNs, IDs and addresses of the simulated account, after creating everything.

    Raise ConfigurationError for inconsistent settings.
    """
    checked = resolve(dict(settings), {}, {})
    parameters(checked)
    check_hosting(use_case.machines.endpoint, bool(settings["SUBNET_IDS"]))
    values = {**settings, **_images(settings), **_index(aws, settings)}
    originals = image_addresses(checked, use_case, REGION).values() if values["IMAGE_REGISTRY"] else ()
    images = [in_registry(address, values["IMAGE_REGISTRY"]) for address in originals]
    created = aws.control(
        "company",
        boundary=settings["PERMISSIONS_BOUNDARY"].partition(":policy")[2],
        key=bool(settings["KMS_KEY_ARN"]),
        subnets=_count(settings["SUBNET_IDS"]),
        groups=_count(settings["SECURITY_GROUP_IDS"]),
        bucket=settings["BUCKET_NAME"],
        images=[*images, *([values["BUILD_IMAGE"]] if repository(values["BUILD_IMAGE"]) else [])],
    )
    return {
        **values,
        "PERMISSIONS_BOUNDARY": created.get("boundary", ""),
        "KMS_KEY_ARN": created.get("key", ""),
        "VPC_ID": created.get("vpc", ""),
        "SUBNET_IDS": ",".join(created.get("subnets", ())),
        "SECURITY_GROUP_IDS": ",".join(created.get("groups", ())),
    }


def _count(ids: str) -> int:
    return len(ids.split(",")) if ids else 0


def _images(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses in the registry of the simulated account, with the same names."""
    own = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    return {name: REGISTRY.sub(own, settings[name]) for name in ("IMAGE_REGISTRY", "BUILD_IMAGE")}


def _index(aws: SimulatedAws, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the address of the invented credential of the package index, or of the domain that gives a token."""
    url, address = settings["PACKAGE_INDEX_URL"], settings["PACKAGE_INDEX_SECRET"]
    if not address:
        return {}
    if not codeartifact.is_domain(address):
        name = address if is_parameter(address) else secret_name(address)
        return {"PACKAGE_INDEX_SECRET": aws.control("store-secrets", **{name: CREDENTIAL})[name]}
    repository = codeartifact.repository_arn(address, url).rpartition("/")[2]
    name, token = address.rpartition("/")[2], CREDENTIAL.partition(":")[2]
    domain = aws.control("codeartifact", domain=name, repositories=[repository], token=token)["domain"]
    own = CODEARTIFACT_HOST.sub(f"-{ACCOUNT}.d.codeartifact.{REGION}.amazonaws.com/", url)
    return {"PACKAGE_INDEX_URL": own, "PACKAGE_INDEX_SECRET": domain}


def not_shown(settings: Mapping[str, str]) -> Iterator[str]:
    """Yield the resources of a company's account that the rehearsal has invented."""
    meanings = {
        "PERMISSIONS_BOUNDARY": "what your boundary refuses: the rehearsal's allows everything",
        "KMS_KEY_ARN": "your key's policy: the rehearsal's key allows the account's roles and CloudWatch Logs",
        "ROLE_PATH": "policies of your organisation: which paths and tags they demand",
        "RESOURCE_TAGS": "policies of your organisation: which paths and tags they demand",
        "VPC_ID": "your network: whether builds, jobs and endpoint reach what they need from it",
        "BUCKET_NAME": "your bucket's policy: the rehearsal's bucket demands versions, and KMS_KEY_ARN for each object",
        "PACKAGE_INDEX_URL": "your package index: every package was taken from this machine",
        "IMAGE_REGISTRY": "your registry: the rehearsal's has every image",
        "BUILD_IMAGE": "your image of builds: they ran with the packages of CodeBuild's own",
    }
    defaults = {name: default for name, default, *_ in COMPANY_SETTINGS}
    yield from dict.fromkeys(text for name, text in meanings.items() if settings[name] != defaults.get(name, ""))
