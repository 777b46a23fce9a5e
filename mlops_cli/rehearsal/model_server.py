"""The project's own model server behind the endpoints of the simulated AWS."""

from __future__ import annotations

import socket
from pathlib import Path

from aws_simulator.endpoint_server import Container, StartError
from aws_simulator.processes import token_variable
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file
from mlops_cli.frameworks import FRAMEWORKS
from mlops_cli.frameworks.base import Framework
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.control_files import Limits

# The variable with the port of SageMaker's containers, where it is another one than theirs.
PORT = "SAGEMAKER_BIND_TO_PORT"


class ModelServer:
    def __init__(self, folder: Path, name: str, container: Container) -> None:
        self._container = container
        self._endpoint = LocalEndpoint(
            folder,
            name,
            LocalServerProcesses(folder),
            port=int(container.environment.get(PORT, 0)) or _free_port(),
            limits=Limits(request_seconds=3600.0),
            environment={**container.environment, **token_variable()},
        )
        self.log = self._endpoint.status().log

    @property
    def url(self) -> str:
        return self._endpoint.invocations_url

    def start(self, archive: Path, seconds: float) -> None:
        framework = _framework(self._container)
        try:
            self._endpoint.deploy(archive, digest_file(archive), seconds, framework.name)
        except MlopsError as error:
            raise StartError(error.message) from error

    def stop(self, seconds: float) -> None:
        self._endpoint.stop(seconds)


def _framework(container: Container) -> Framework:
    """Return the framework of the image. Raise StartError if its container would not start."""
    framework = next((each for each in FRAMEWORKS if each.serves_with(container.image)), None)
    if framework is None:  # an image of the use case's own: found by the variables that its container reads
        names = {name for each in FRAMEWORKS for name in each.environment}
        variables = {name: container.environment[name] for name in names if name in container.environment}
        alike = [each for each in FRAMEWORKS if each.environment == variables]
        framework = next((each for each in alike if not (each.installs_code and container.isolated)), None)
    if framework is None:
        raise StartError(f"no framework has the image {container.image}, or its environment")
    variables = {name: container.environment.get(name, "") for name in framework.environment}
    if variables != framework.environment:
        raise StartError(f"the container of {framework.title} finds no functions: its environment has {variables}")
    if framework.installs_code and container.isolated:
        raise StartError("the container installs code/ with pip, and network isolation lets it reach no index")
    return framework


def _free_port() -> int:
    """Return a free port, far from the ports of the tests' local endpoints."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
