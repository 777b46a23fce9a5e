"""The addresses on AWS of the secrets in [secrets] of usecase.toml. No IO.

An address is a path of Parameter Store, or the ARN of a secret in Secrets Manager. The address itself is not secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PARAMETER = r"/[\w.-]+(/[\w.-]+)*"
# Secrets Manager adds six characters to a secret's name. IAM compares the whole name.
MANAGED_ARN = r"arn:aws[a-z-]*:secretsmanager:(?P<region>[a-z0-9-]+):[0-9]{12}:secret:[\w/+=.@-]+-[A-Za-z0-9]{6}"
EXPECTED = (
    "a path of Parameter Store, such as /shop/token, or the whole ARN of a secret in Secrets Manager; never the secret "
    "itself"
)


LONGEST = 256  # SageMaker's limit for a variable of a job


def is_address(text: str) -> bool:
    return len(text) <= LONGEST and bool(re.fullmatch(f"{PARAMETER}|{MANAGED_ARN}", text, re.ASCII))


def is_parameter(address: str) -> bool:
    return address.startswith("/")


def addresses(secrets: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """Return the address of every secret by its name. The default is /mlops/ENDPOINT/NAME."""
    return {name: address or f"/mlops/{endpoint}/{name}" for name, address in sorted(secrets.items())}


def arns(secret_addresses: Iterable[str], partition: str, region: str, account: str) -> list[str]:
    """Return the ARNs that a role must be allowed to read."""
    parameters = f"arn:{partition}:ssm:{region}:{account}:parameter"
    return sorted({f"{parameters}{address}" if is_parameter(address) else address for address in secret_addresses})


def address_of(arn: str) -> str:
    """Return the address from which ``arns`` has built this ARN."""
    return arn.partition(":parameter")[2] or arn


def secret_name(arn: str) -> str:
    """Return the name of a secret in Secrets Manager."""
    return arn.partition(":secret:")[2].rpartition("-")[0]


def location(address: str) -> str:
    """Return an address in words."""
    if is_parameter(address):
        return f"Parameter Store, {address}"
    return f"Secrets Manager, {address.partition(':secret:')[2]}"


def create_command(address: str) -> str:
    """Return the command that stores the value of a missing secret."""
    if is_parameter(address):
        return f"aws ssm put-parameter --type SecureString --name {address} --value ..."
    name = secret_name(address)
    return f"aws secretsmanager create-secret --name {name} --secret-string ..., then its ARN in [secrets.aws]"
