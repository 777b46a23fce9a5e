"""The secrets in [secrets] of usecase.toml on this machine: an environment variable beats .env.

No other module reads them.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from mlops_cli.core.secrets import LEAST_DECLARED, add_known_secrets, is_too_short
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.dotenv_file import read_dotenv
from mlops_cli.project.settings.values import ENVIRONMENT


def secret_origins(names: Collection[str], dotenv: Path) -> dict[str, str]:
    """Return where each secret is set: "environment variable", ".env", or "" if it is not set."""
    file = read_dotenv(dotenv) if names else {}
    return {name: ENVIRONMENT if os.environ.get(name) else ".env" if file.get(name) else "" for name in sorted(names)}


def present_secrets(names: Collection[str], dotenv: Path) -> dict[str, str]:
    """Return the values of the secrets that are set, and hide them in every text of this process."""
    file = read_dotenv(dotenv) if names else {}
    values = {name: value for name in sorted(names) if (value := os.environ.get(name) or file.get(name))}
    add_known_secrets(values.values())
    return values


def required_secrets(names: Collection[str], dotenv: Path) -> dict[str, str]:
    """Return the values of all secrets. Raise ConfigurationError if one is not set."""
    values = present_secrets(names, dotenv)
    if missing := sorted({*names} - values.keys()):
        raise ConfigurationError(missing_message(missing), missing_hint(missing))
    return values


def missing_secrets(names: Collection[str], dotenv: Path) -> list[str]:
    return [name for name, origin in secret_origins(names, dotenv).items() if not origin]


def short_secrets(names: Collection[str], dotenv: Path) -> list[str]:
    """Return the secrets that are set but too short to be hidden."""
    return [name for name, value in present_secrets(names, dotenv).items() if is_too_short(value)]


def short_message(short: list[str]) -> str:
    words = ("secret", "has", "it is") if len(short) == 1 else ("secrets", "have", "they are")
    names = ", ".join(short)
    return f"The {words[0]} {names} {words[1]} fewer than {LEAST_DECLARED} characters: {words[2]} not hidden in output."


def missing_message(missing: list[str]) -> str:
    words = ("secret", "is") if len(missing) == 1 else ("secrets", "are")
    return f"The {words[0]} {', '.join(missing)} of usecase.toml {words[1]} not set."


def missing_hint(missing: list[str]) -> str:
    return f"Set {'it' if len(missing) == 1 else 'them'} as an environment variable or in .env: {missing[0]}=..."
