"""The values of the secrets in [secrets] of usecase.toml, stored on AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli.backends.aws.account import Account, Client
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.stages.containers import secrets_runner
from mlops_cli.core.jobs.secret_addresses import create_command, is_parameter, location
from mlops_cli.core.runs import CONTINUE
from mlops_cli.core.secrets import add_known_secrets
from mlops_cli.errors import ConfigurationError, MlopsError


def secret_values(account: Account, addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the values, and hide them in all texts of this process. Raise MlopsError if one is missing."""
    values = {name: _value(account, name, address) for name, address in addresses.items()}
    add_known_secrets(values.values())
    return values


def missing_secrets(account: Account, addresses: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name and address of each secret that does not exist on AWS. Read no value."""
    for name, address in addresses.items():
        if not _exists(account, address):
            yield name, address


def require_secrets(account: Account, addresses: Mapping[str, str]) -> None:
    """Raise ConfigurationError if secrets are missing, with the commands that store them."""
    missing = list(missing_secrets(account, addresses))
    if missing:
        commands = "; ".join(create_command(address) for _, address in missing)
        raise ConfigurationError(" ".join(missing_message(*secret) for secret in missing), f"Store it: {commands}")


def missing_message(name: str, address: str) -> str:
    return f"The secret {name} of usecase.toml is not in {location(address)}."


def _value(account: Account, name: str, address: str) -> str:
    def client(service: str, region_name: str = "") -> Client:
        return account.client(service, region_name)

    try:
        return secrets_runner.read(address, client)
    except AwsError as error:
        if error.is_not_found:
            command = create_command(address)  # the user of `run` does not see a step's hint
            raise MlopsError(f"{missing_message(name, address)} Store it: {command}", CONTINUE) from None
        raise
    except ValueError as error:
        raise MlopsError(f"The secret {name} in {location(address)} is no text: {error}.", "Store a text.") from None


def _exists(account: Account, address: str) -> bool:
    if is_parameter(address):
        name = {"Key": "Name", "Option": "Equals", "Values": [address]}
        return any(account.client("ssm").pages("describe_parameters", "Parameters", ParameterFilters=[name]))
    try:
        account.client("secretsmanager", address.split(":")[3]).describe_secret(SecretId=address)
    except AwsError as error:
        if error.is_not_found:
            return False
        raise
    return True
