"""A control that stores secrets: at paths of Parameter Store, and in Secrets Manager by name."""

from __future__ import annotations

from typing import Any

from aws_simulator.permissions.roles import ROOT_KEY, Caller
from aws_simulator.simulator import ACCOUNT, REGION, Simulator


def register(simulator: Simulator) -> None:
    simulator.add_control("store-secrets", lambda values: store(simulator, values))


def store(simulator: Simulator, values: dict[str, Any]) -> dict[str, str]:
    """Store each value at a path (/a/b) or under the name of a secret. Return the path, or the secret's ARN."""
    owner = Caller(ROOT_KEY, ACCOUNT, REGION)
    addresses = {}
    for name, value in values.items():
        if name.startswith("/"):
            simulator.client("ssm", owner).put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
            addresses[name] = name
        else:
            secrets = simulator.client("secretsmanager", owner)
            addresses[name] = secrets.create_secret(Name=name, SecretString=value)["ARN"]
    return addresses
