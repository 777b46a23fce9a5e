"""Check that the secrets of usecase.toml exist on AWS. Their values are not read."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.clients.secrets import missing_message, missing_secrets
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.core.jobs.secret_addresses import addresses, create_command, location


def unchecked_secrets(subject: CheckContext) -> Iterator[Finding]:
    """Yield the addresses of the secrets, if the caller has no valid credentials."""
    address_by_name = addresses(subject.use_case.passed.secrets, subject.endpoint)
    if address_by_name:
        locations = ", ".join(f"{name} ({location(address)})" for name, address in address_by_name.items())
        reason = "Without credentials mlops cannot check that they exist."
        fix = f"Store each that is missing: {create_command(next(iter(address_by_name.values())))}"
        yield Finding("secrets", State.WARNING, f"Not checked: {locations}.", reason, fix)


def secrets(subject: CheckContext) -> Iterator[Finding]:
    """Yield a failure for each missing secret. Yield nothing if the use case names none."""
    address_by_name = addresses(subject.use_case.passed.secrets, subject.endpoint)
    missing = dict(missing_secrets(subject.account, address_by_name))
    for name, address in missing.items():
        reason = "Scripts and gates get it; a run stops before its first job without it."
        yield Finding("secrets", State.FAILURE, missing_message(name, address), reason, create_command(address))
    if address_by_name and not missing:
        yield ok("secrets", ", ".join(f"{name} ({location(address)})" for name, address in address_by_name.items()))
