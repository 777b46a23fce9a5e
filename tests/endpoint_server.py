"""The project's own model server behind the endpoints of the simulated AWS."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from aws_simulator.endpoint_server import StartError
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.control_files import Limits


class ModelServer:
    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        self._endpoint = LocalEndpoint(
            folder,
            name,
            LocalServerProcesses(folder),
            port=_free_port(),
            limits=Limits(request_seconds=3600.0),
            environment=environment,
        )
        self.log = self._endpoint.status().log

    @property
    def url(self) -> str:
        return self._endpoint.invocations_url

    def start(self, archive: Path, seconds: float) -> None:
        try:
            self._endpoint.deploy(archive, digest_file(archive), seconds)
        except MlopsError as error:
            raise StartError(error.message) from error

    def stop(self, seconds: float) -> None:
        self._endpoint.stop(seconds)


def _free_port() -> int:
    """Far from where the tests' local endpoints look for a free one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
