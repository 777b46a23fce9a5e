"""CloudFormation: change sets as plans, stacks followed event by event, and the first cause when one fails."""

from __future__ import annotations

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.names import Names
from mlops_cli.backends.aws.refusals import AwsError


class Stacks:
    def __init__(self, account: Account, names: Names) -> None:
        self._client = account.client("cloudformation")
        self._names = names

    def outputs(self, name: str) -> dict[str, str] | None:
        """A stack's outputs, None if there is no such stack or its creation has not come to an end."""
        try:
            found = self._client.describe_stacks(StackName=name)["Stacks"][0]
        except AwsError as error:
            if error.code == "ValidationError" and "does not exist" in error.said:
                return None
            raise
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())} or None
