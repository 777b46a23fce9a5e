"""A processing job in a serving image: its program ``serve`` starts a model server, as behind an endpoint."""

from __future__ import annotations

import socket
import sys
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aws_simulator.endpoint_server import Container, EndpointServer, StartError
from aws_simulator.services.sagemaker.images import ADDRESS
from aws_simulator.services.sagemaker.jobs import serve_program

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

START_SECONDS, STOP_SECONDS = 60.0, 5.0
PORT = "SAGEMAKER_BIND_TO_PORT"


def can_serve(image: str) -> bool:
    """Return True for all images but those that are only for training."""
    address = ADDRESS.fullmatch(image)
    return address is not None and "training" not in address["name"]


class ServingContainer:
    """``folder`` is for the program ``serve``; the model is in ``model``, unpacked, when that is called."""

    def __init__(self, simulator: Simulator, name: str, folder: Path, model: Path, image: str, isolated: bool) -> None:
        self._simulator = simulator
        self._name = name
        self._folder = folder
        self._model = model
        self._image = image
        self._isolated = isolated
        self._thread: threading.Thread | None = None
        self._server: EndpointServer | None = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = str(listener.getsockname()[1])

    def install(self) -> dict[str, str]:
        """Write the program; return the container's variables."""
        self._folder.mkdir()
        program = self._folder / "serve"
        program.write_text(f"#!{sys.executable}\n{Path(serve_program.__file__).read_text()}")
        program.chmod(0o755)
        return {PORT: self._port}

    def look(self, environment: Mapping[str, str]) -> None:
        """Start the server once ``serve`` was called."""
        if self._thread is None and (self._folder / serve_program.BEGIN).exists():
            self._thread = threading.Thread(target=self._start, args=(environment,), daemon=True)
            self._thread.start()

    def _start(self, environment: Mapping[str, str]) -> None:
        archive = self._folder / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(self._model, ".")
        container = Container(self._image, {**environment, PORT: self._port}, self._isolated)
        try:
            self._server = self._simulator.endpoint_server(self._folder / "server", self._name, container)
            (self._folder / serve_program.LOG).symlink_to(self._server.log)
            self._server.start(archive, START_SECONDS)
        except StartError as error:
            (self._folder / serve_program.END).write_text(str(error))

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._server is not None:
            self._server.stop(STOP_SECONDS)
