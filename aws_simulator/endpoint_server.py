"""The simulator's interface to a model server, which is used as the instances of an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol


class StartError(Exception):
    """The server does not answer in time."""


class EndpointServer(Protocol):
    """``log``: the file that the server writes. ``url``: answers POST /invocations."""

    url: str
    log: Path

    def start(self, archive: Path, seconds: float) -> None:
        """Serve the model.tar.gz. Raise StartError if it does not answer in time."""

    def stop(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Container:
    """A container as SageMaker starts it. ``isolated``: nothing can be installed in it."""

    image: str
    environment: Mapping[str, str]
    isolated: bool


# folder, endpoint name, container -> a server that is not started yet
ServerFactory = Callable[[Path, str, Container], EndpointServer]


def load(address: str) -> ServerFactory:
    """Import MODULE:NAME. Raise ValueError for anything else."""
    module, _, name = address.partition(":")
    if not module or not name:
        raise ValueError(f"{address!r} is not MODULE:NAME")
    factory: ServerFactory = getattr(import_module(module), name)
    return factory


def no_server(_folder: Path, name: str, _container: Container) -> EndpointServer:
    raise StartError(f"the simulator was started without --endpoint-server, so that {name} cannot serve")
