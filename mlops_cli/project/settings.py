"""Settings: an option overrides an environment variable, which overrides .env, which overrides the default.

Every value keeps its origin, and all problems are reported together. CI systems and other tools set names such as
BRANCH. These settings have a second name, MLOPS_BRANCH; the short name is read from the environment only on aws.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.core.secrets import known_secrets, without_secrets
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.company_settings import COMPANY_SETTINGS, company_check

Check = Callable[[str], str]


def _one_of(*choices: str) -> Check:
    return lambda value: "" if value in choices else f"expected {' or '.join(choices)}"


def _matches(pattern: str, expected: str) -> Check:
    return lambda value: "" if not value or re.fullmatch(pattern, value) else f"expected {expected}"


def _port(value: str) -> str:
    return (
        ""
        if re.fullmatch("[0-9]{1,5}", value) and int(value) < 65536
        else "expected a port from 0 (choose one) to 65535"
    )


def _amount_problem(value: str) -> str:
    return (
        "" if not value or re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,4})?", value) else "expected an amount such as 5 or 0.50"
    )


def _size(value: str) -> str:
    return (
        "" if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,4})?", value) else "expected a number of gigabytes such as 20 or 0.5"
    )


def _host(value: str) -> str:
    if value == "localhost" or re.fullmatch(r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*|[0-9]{1,3}(\.[0-9]{1,3}){3}", value):
        return ""
    return "expected an IP address such as 127.0.0.1"


def _hosts(value: str) -> str:
    label = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    is_name = re.compile(rf"{label}(\.{label})*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*").fullmatch
    return "" if all(map(is_name, host_names(value))) else "expected host names without ports"


def host_names(value: str) -> tuple[str, ...]:
    """Return the names in a list that is separated by commas or spaces."""
    return tuple(value.lower().replace(",", " ").split())


@dataclass(frozen=True)
class Setting:
    """One setting: its name in the environment and in .env, alternative names, and its check."""

    name: str
    default: str
    meaning: str
    check: Check = lambda _: ""
    also: tuple[str, ...] = ()
    secret: bool = False

    @property
    def is_common_word(self) -> bool:
        """True if other tools may use the name for something else."""
        return self.name in COMMON_WORDS

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the setting; the first one that is set counts."""
        return (*([f"MLOPS_{self.name}"] if self.is_common_word else []), self.name, *self.also)


# The origin of a value.
ENVIRONMENT = "environment variable"
COMMON_WORDS = ("STAGE", "SOURCE", "BRANCH", "OWNER", "INSTANCE", "BUCKET_NAME", "REPOSITORY_NAME")
NEAR = 0.8
INSTANCE_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"
NAME = r"[A-Za-z0-9](-*[A-Za-z0-9]){0,40}"
SETTINGS: tuple[Setting, ...] = (
    Setting("MLOPS_TARGET", "local", "where the stages run: local or aws", _one_of("local", "aws")),
    Setting(
        "STAGE",
        "dev",
        "the environment, part of the endpoint's name",
        _matches(NAME, "letters, digits and -"),
    ),
    Setting("ENDPOINT_HOST", "127.0.0.1", "the address that the local endpoint binds to", _host),
    Setting(
        "ENDPOINT_HOSTS",
        "",
        "further host names in requests to the local endpoint, separated by commas; for a proxy in front of it",
        _hosts,
    ),
    Setting("ENDPOINT_PORT", "0", "the local endpoint's port; 0: the first free port from 8080 on", _port),
    Setting(
        "BUCKET_NAME",
        "",
        "aws: an S3 bucket to use; empty: a new bucket",
        _matches(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "3 to 63 of a-z, 0-9, . and -"),
    ),
    Setting(
        "SOURCE",
        "codecommit",
        "aws: the code source of the pipeline: codecommit, s3 or connection",
        _one_of("codecommit", "s3", "connection"),
    ),
    Setting(
        "REPOSITORY_NAME",
        "",
        "aws: the CodeCommit repository to create; empty: the endpoint's name",
        _matches(r"[\w.-]{1,100}", "letters, digits, . _ -"),
    ),
    Setting(
        "BRANCH",
        "main",
        "aws: the branch; a new commit on it starts a run",
        _matches(r"[^\s~^:?*\[\\]{1,250}", "a branch's name"),
    ),
    Setting(
        "CONNECTION_ARN",
        "",
        "aws: with SOURCE=connection, the CodeConnections connection",
        _matches(
            r"arn:aws[a-z-]*:(codestar-connections|codeconnections):[a-z0-9-]+:[0-9]{12}:connection/[0-9a-f-]+",
            "the ARN of a connection",
        ),
    ),
    Setting(
        "FULL_REPOSITORY_ID",
        "",
        "aws: with SOURCE=connection, the repository as owner/name",
        _matches(r"[\w.-]+(/[\w.-]+)+", "owner/name"),
    ),
    Setting(
        "NOTIFICATION_EMAIL",
        "",
        "aws: the address for mails about models that wait for a decision; AWS first sends it a link to confirm",
        _matches(r"[^@\s]+@[^@\s]+\.[^@\s]+", "a mail address"),
    ),
    Setting(
        "AWS_REGION",
        "",
        "aws: the region; empty: the region of the profile",
        _matches(r"[a-z]{2,4}(-[a-z]+)+-[0-9]", "a region such as eu-west-1"),
        also=("AWS_DEFAULT_REGION",),
    ),
    Setting(
        "OWNER",
        "",
        "aws: the owner of the stacks; empty: the name of the user who creates them",
        _matches(r"[\w .:/=+@-]{1,128}", "a name of letters, digits, spaces and . : / = + @ -"),
    ),
    Setting("AWS_PROFILE", "", "aws: the named profile of your credentials", also=("AWS_DEFAULT_PROFILE",)),
    Setting(
        "INSTANCE",
        "",
        "aws: the training instance; empty: the one in usecase.toml",
        _matches(INSTANCE_TYPE, "an instance type such as ml.m5.xlarge"),
    ),
    *(
        Setting(name, default, f"aws: {meaning}", company_check(name, pattern, expected))
        for name, default, meaning, pattern, expected in COMPANY_SETTINGS
    ),
    Setting(
        "MAX_RUN_COST",
        "",
        "aws: the cost limit of one run, in US dollars; empty: none",
        _amount_problem,
    ),
    Setting(
        "MAX_MONTHLY_COST",
        "",
        "aws: the cost limit of the endpoint for a month, in US dollars; empty: none",
        _amount_problem,
    ),
    Setting("MAX_DOWNLOAD_GB", "20", "the largest download from a URL or Kaggle, in gigabytes", _size),
    Setting("KAGGLE_API_TOKEN", "", "Kaggle's token, or the path of a file with it", secret=True),
    Setting("KAGGLE_USERNAME", "", "Kaggle's user name, with KAGGLE_KEY"),
    Setting("KAGGLE_KEY", "", "Kaggle's older kind of key", secret=True),
    Setting("MLFLOW_TRACKING_URI", "", "where MLflow logs the runs: a URL, sqlite:///FILE or a SageMaker ARN"),
    Setting("MLFLOW_EXPERIMENT_NAME", "", "MLflow's experiment; empty: the endpoint's name"),
    Setting("MLFLOW_TRACKING_USERNAME", "", "the MLflow server's user name, with MLFLOW_TRACKING_PASSWORD"),
    Setting("MLFLOW_TRACKING_PASSWORD", "", "the MLflow server's password", secret=True),
    Setting("MLFLOW_TRACKING_TOKEN", "", "the MLflow server's token", secret=True),
)


@dataclass(frozen=True)
class Value:
    text: str
    origin: str
    setting: Setting

    @property
    def shown(self) -> str:
        """The value for printing: a secret only as "set", an address without passwords and tokens."""
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
        """Return a key for this environment in its account, as far as the settings tell."""
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
        """Return self. Raise ConfigurationError with all problems, if any."""
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


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the values in a file of lines NAME=VALUE. Raise ConfigurationError for any other."""
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder.", "Remove it, or write the settings into a file of this name.")
    if not path.is_file():
        return {}
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}).", "Save the file as UTF-8.") from None
    if "\0" in text:
        raise ConfigurationError(f"{path} holds NUL characters; it may be UTF-16.", "Save the file as UTF-8.")
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            # The line itself is not shown: it may contain a secret.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string[:blank].count("\n")
            raise ConfigurationError(
                f"{path}, line {line}, is not of the form NAME=VALUE.",
                "Write the line so; a value that begins with a quote ends with the same one.",
            )
        if binding.key and binding.value:
            values[binding.key] = binding.value
    return values


def unread_variables(settings: Settings) -> list[str]:
    """Return the variables of the environment that have a setting's name and are not read on this target."""
    return [name for name in COMMON_WORDS if settings.target != "aws" and os.environ.get(name)]


def misspelled_names(dotenv_path: Path, others: Iterable[str] = ()) -> dict[str, str]:
    """Return the names in .env that are almost the name of a setting, with that name; ``others``: known names."""
    from difflib import get_close_matches

    names = [name for setting in SETTINGS for name in setting.names]
    unknown = [name for name in read_dotenv(dotenv_path) if name not in (*names, *others)]
    near = {name: get_close_matches(name.upper(), names, 1, NEAR) for name in unknown}
    return {name: matches[0] for name, matches in near.items() if matches}


def export_kaggle(settings: Settings) -> None:
    """Set the environment variables that the kaggle package reads."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        if settings[name]:
            os.environ[name] = settings[name]


def export_mlflow(settings: Settings) -> None:
    """Set the environment variables that MLflow reads: short timeouts, no telemetry."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        if settings[name]:
            os.environ[name] = settings[name]
    for name, value in (
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ):
        os.environ.setdefault(name, value)


LEAST_COLUMNS = 20


def terminal_columns() -> int | None:
    """Return the width that COLUMNS demands; None without a usable one."""
    columns = os.environ.get("COLUMNS", "")
    return (
        int(columns) if columns.isascii() and columns.isdecimal() and LEAST_COLUMNS <= int(columns) <= 10_000 else None
    )


def plain_terminal() -> bool:
    """True for a request for plain output: NO_COLOR, TERM=dumb or CI."""
    return bool(os.environ.get("NO_COLOR") or os.environ.get("CI")) or os.environ.get("TERM") == "dumb"
