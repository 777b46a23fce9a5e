"""Create the AWS account object from the settings."""

from __future__ import annotations

from mlops_cli.backends.aws.account import Account
from mlops_cli.project.settings.values import ENVIRONMENT, Settings


def configured_account(settings: Settings) -> Account:
    profile = settings.values["AWS_PROFILE"]
    return Account(settings["AWS_REGION"], settings["AWS_PROFILE"], not profile.origin.startswith(ENVIRONMENT))
