"""The secrets of a rehearsal: this machine's values, stored in the simulated AWS at the use case's addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli.backends.common_checks import SHORT_FIX, SHORT_REASON
from mlops_cli.core.checks import Finding, State
from mlops_cli.core.jobs.secret_addresses import addresses, is_parameter, secret_name
from mlops_cli.core.secrets import is_too_short
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.script_secrets import missing_hint, short_message
from mlops_cli.rehearsal.simulated_aws import SimulatedAws

MADE_UP = "made-up-by-the-rehearsal"


def store_secrets(
    aws: SimulatedAws, copy: Project, secrets: Mapping[str, str], endpoint: str, values: Mapping[str, str]
) -> None:
    """Store the values. An ARN names an account, so the copy's usecase.toml gets ARNs of the simulated account."""
    by_name = addresses(secrets, endpoint)
    names = {address: address if is_parameter(address) else secret_name(address) for address in by_name.values()}
    stored = aws.control("store-secrets", **{names[at]: values.get(name, MADE_UP) for name, at in by_name.items()})
    file = copy.use_case_file
    text = file.read_text(encoding="utf-8")
    for address, name in names.items():
        text = text.replace(f'"{address}"', f'"{stored[name]}"').replace(f"'{address}'", f"'{stored[name]}'")
    file.write_text(text, encoding="utf-8")


def unready(secrets: Mapping[str, str], values: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the secrets that are not set on this machine, and those that are too short to be hidden."""
    if short := [name for name, value in values.items() if is_too_short(value)]:
        yield Finding("secrets", State.WARNING, short_message(short), SHORT_REASON, SHORT_FIX)
    for name in sorted(secrets.keys() - values.keys()):
        yield Finding(
            "secrets",
            State.WARNING,
            f"The secret {name} is not set on this machine.",
            "The rehearsal gave the scripts a made-up value.",
            missing_hint([name]),
        )
