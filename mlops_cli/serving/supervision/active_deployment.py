"""A deployment in service: its worker, its sockets, its files."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mlops_cli.errors import MlopsError
from mlops_cli.serving.control_files import Deployment, EndpointDirectory, Service
from mlops_cli.serving.http.connections import AcceptingSocket
from mlops_cli.serving.supervision.package_files import PackageFiles
from mlops_cli.serving.supervision.worker_handle import DeploymentError, Start, Worker

TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(eq=False)
class ActiveDeployment:
    """A deployment in service, or being restored. ``private``: the address of the model for a ``handler``."""

    deployment: Deployment
    listener: socket.socket
    worker: Worker
    files: PackageFiles
    private: socket.socket
    accepting: AcceptingSocket | None = None
    since: str = field(default_factory=lambda: time.strftime(TIME, time.gmtime()))
    started: float = field(default_factory=time.monotonic)
    changed: tuple[str, ...] = ()

    def service(self, incidents: tuple[str, ...], reason: str = "") -> Service:
        """Return the record of the deployment. ``reason``: why the worker is down."""
        pid = None if reason else self.worker.process.pid
        port = _port(self.listener)
        return Service(self.deployment, port, self.since, pid, reason, self.changed, incidents)

    async def end(self) -> None:
        """End the worker and remove its files."""
        await self.worker.end()
        if self.accepting is not None:
            self.accepting.close()
        self.private.close()
        shutil.rmtree(self.files.folder, ignore_errors=True)


async def start(
    folder: EndpointDirectory,
    deployment: Deployment,
    listener: socket.socket,
    number: int,
    write_output: Callable[[bytes], None],
    ready: Callable[[Worker, float], Awaitable[None]],
) -> ActiveDeployment:
    """Start a worker with newly unpacked files and wait until it is ready. Raise DeploymentError."""
    unpacked = folder.unpacked(deployment.id, number)
    private = worker = None
    try:
        private = socket.create_server(("127.0.0.1", 0))
        addresses = [f"http://127.0.0.1:{_port(sock)}/v1/models/model:predict" for sock in (listener, private)]
        shutil.rmtree(unpacked, ignore_errors=True)
        files = await asyncio.to_thread(PackageFiles, folder.package(deployment.id), unpacked, deployment.digest)
        worker = await Worker.start(Start(folder, unpacked, deployment, addresses[0], addresses[1], write_output))
        await ready(worker, deployment.seconds)
        if changed := files.changes():
            raise DeploymentError(f"Files of the model package were changed while it was loaded: {', '.join(changed)}.")
    except BaseException as error:
        if private is not None:
            private.close()
        if worker is not None:
            await worker.end()
        shutil.rmtree(unpacked, ignore_errors=True)
        if isinstance(error, MlopsError):
            raise DeploymentError(f"The model cannot be served: {error.message}", error.hint) from None
        if isinstance(error, OSError | RuntimeError):  # no file, process, thread or disk space is available
            message = f"The new server cannot be started: {error}."
            raise DeploymentError(message, "Check free space: df -h .") from error
        raise
    return ActiveDeployment(deployment, listener, worker, files, private)


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


async def wait_until_unused(active: ActiveDeployment, seconds: float) -> None:
    """Wait until the worker has answered its requests or has died."""
    died = asyncio.create_task(active.worker.process.wait())
    deadline = time.monotonic() + seconds
    try:
        while active.worker.pending and not died.done() and time.monotonic() < deadline:
            await asyncio.wait((died,), timeout=0.05)
    finally:
        died.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await died
