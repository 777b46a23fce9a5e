"""The variables of a build's project. Parameters and secrets in them are read with the project's role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, root
from aws_simulator.services.codebuild.build import PhaseError

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

PLAIN, PARAMETER, SECRET = "PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER"
KINDS = (PLAIN, PARAMETER, SECRET)


def kind(variable: Mapping[str, str]) -> str:
    return variable.get("type", PLAIN)


def values(simulator: Simulator, role: Caller, variables: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the values by name. Raise PhaseError with CodeBuild's message for one that cannot be read."""
    return {variable["name"]: _value(simulator, role, variable) for variable in variables}


def _value(simulator: Simulator, role: Caller, variable: Mapping[str, str]) -> str:
    address = variable["value"]
    try:
        if kind(variable) == PARAMETER:
            # ministack requires the permission on "*", AWS one on each parameter.
            role.require("ssm:GetParameters", f"arn:aws:ssm:{role.region}:{role.account}:parameter{address}")
            answer: Any = simulator.client("ssm", root()).get_parameters(Names=[address], WithDecryption=True)
            if not answer["Parameters"]:
                raise PhaseError("Decrypted Variables Error Message", f"parameter does not exist: {address}")
            return str(answer["Parameters"][0]["Value"])
        if kind(variable) == SECRET:
            return str(simulator.client("secretsmanager", role).get_secret_value(SecretId=address)["SecretString"])
    except (ClientError, ServiceError) as error:
        service = "Decrypted Variables" if kind(variable) == PARAMETER else "Secrets Manager"
        raise PhaseError(f"{service} Error Message", str(error)) from error
    return address
