"""Every setting: its names, default, meaning, and the check of its value.

CI systems and other tools use names such as BRANCH. Such a setting has a second name, MLOPS_BRANCH.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mlops_cli.project.settings.company_settings import COMPANY_SETTINGS, company_check

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
    """One setting: its name as an environment variable and in .env, alternative names, and its check."""

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
        """All names of the setting. The first one that is set counts."""
        return (*([f"MLOPS_{self.name}"] if self.is_common_word else []), self.name, *self.also)


COMMON_WORDS = ("STAGE", "SOURCE", "BRANCH", "OWNER", "INSTANCE", "BUCKET_NAME", "REPOSITORY_NAME")


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
