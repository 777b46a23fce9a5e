"""Settings: an option beats an environment variable, which beats .env, which beats the default.

Every value keeps its origin, and all problems are reported together. If a setting has two names, its short one, such as
BRANCH, is read from environment variables only for the target aws.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.core.secrets import known_secrets, without_secrets
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.catalog import COMMON_WORDS, SETTINGS, Setting
from mlops_cli.project.settings.dotenv_file import read_dotenv

# The origin of a value.
ENVIRONMENT = "environment variable"


@dataclass(frozen=True)
class Value:
    text: str
    origin: str
    setting: Setting

    @property
    def shown(self) -> str:
        """The value for display: a secret only as "set", an address without passwords and tokens."""
        return "(set, not shown)" if self.setting.secret and self.text else without_secrets(self.text)


@dataclass(frozen=True)
class Settings:
    """``secrets``: the texts in the environment and in .env that are never shown, whichever program reads them."""

    values: dict[str, Value]
    secrets: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> str:
        return self.values[name].text

    @property
    def target(self) -> str:
        return self["MLOPS_TARGET"]

    def to_dict(self) -> dict[str, dict[str, str]]:
        return {name: {"value": value.shown, "from": value.origin} for name, value in self.values.items()}

    def endpoint_name(self, use_case: str) -> str:
        return f"{use_case}-{self['STAGE']}"

    def cache_location(self, use_case: str) -> str:
        """Return a key for this environment in its account, as far as the settings identify them."""
        return " ".join([self.endpoint_name(use_case), self["AWS_PROFILE"] or "-", self["AWS_REGION"] or "-"])

    @property
    def problems(self) -> list[str]:
        checked = [(value, value.setting.check(value.text)) for value in self.values.values()]
        return [
            f"{value.setting.name} is {value.shown!r} (from {value.origin}), {problem}"
            for value, problem in checked
            if problem
        ]

    def validated(self) -> Settings:
        """Return self. Raise ConfigurationError with all problems if there are any."""
        if self.problems:
            raise ConfigurationError("; ".join(self.problems) + ".", "See every setting and its origin: mlops config")
        return self


def resolve(flags: Mapping[str, str | None], environ: Mapping[str, str], dotenv: Mapping[str, str]) -> Settings:
    """Return every setting's value and origin, unchecked."""
    target = _find(SETTINGS[0], flags, environ, dotenv).text
    own = environ if target == "aws" else {name: environ[name] for name in environ if name not in COMMON_WORDS}
    values = {setting.name: _find(setting, flags, own, dotenv) for setting in SETTINGS}
    variables = [(name, text) for source in (environ, dotenv) for name, text in source.items()]
    return Settings(values, known_secrets(variables))


def _find(
    setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str], dotenv: Mapping[str, str]
) -> Value:
    flag = flags.get(setting.name)
    if flag is not None:
        return Value(flag, "option", setting)
    for origin, source in ((ENVIRONMENT, environ), (".env", dotenv)):
        for name in setting.names:
            if source.get(name):
                where = origin if name == setting.name else f"{origin} ({name})"
                return Value(source[name], where, setting)
    return Value(setting.default, "default", setting)


def load_settings(dotenv_path: Path, flags: Mapping[str, str | None]) -> Settings:
    """Return the settings from the process's environment and the project's .env, unchecked."""
    return resolve(flags, os.environ, read_dotenv(dotenv_path))


def unread_variables(settings: Settings) -> list[str]:
    """Return environment variables that have a setting's name but are not read for this target."""
    return [name for name in COMMON_WORDS if settings.target != "aws" and os.environ.get(name)]
