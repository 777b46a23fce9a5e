"""A running action: its inputs, and how it waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.permissions.roles import Caller
from aws_simulator.services.codepipeline import artifacts
from aws_simulator.services.codepipeline.records import Action, Artifact

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

EVERY_SECONDS = 0.02


class ActionError(Exception):
    """The action fails with this code and message in its errorDetails."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AbandonedError(Exception):
    """The action was abandoned."""


@dataclass
class Job:
    simulator: Simulator
    action: Action
    role: Caller
    """The pipeline's role, or the action's own."""

    @property
    def configuration(self) -> dict[str, str]:
        return self.action.configuration

    def client(self, name: str) -> Any:
        return self.simulator.client(name, self.role)

    def until(self, done: Callable[[], bool], abandon: Callable[[], None] = lambda: None) -> None:
        """Wait. If the action is abandoned first, call ``abandon`` and raise AbandonedError."""
        while not done():
            if self.action.cancelled.wait(EVERY_SECONDS):
                abandon()
                raise AbandonedError

    def store(self, body: bytes) -> None:
        """Store the zip ``body`` as the action's only output artifact."""
        self.action.outputs = artifacts.artifact_locations(self.action)
        artifacts.put(self.client("s3"), self.action.outputs[0], body)

    def file(self, artifact: Artifact, path: str) -> bytes:
        try:
            return artifacts.get_file(self.client("s3"), artifact, path)
        except KeyError as error:
            message = f"Could not find {path} in artifact {artifact.name}"
            raise ActionError("InvalidActionConfiguration", message) from error

    def input(self, name: str) -> Artifact:
        """Return the input artifact with this name."""
        matches = [artifact for artifact in self.action.inputs if artifact.name == name]
        if not matches:
            raise ActionError("InvalidActionConfiguration", f"{name} is not an input artifact of the action")
        return matches[0]


def failure(error: ClientError) -> ActionError:
    """Return the action's error for a refused call to another service."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if "AccessDenied" in code or code in ("AuthorizationError", "403"):
        return ActionError("PermissionError", message)
    return ActionError("ConfigurationError", f"{code}: {message}")
