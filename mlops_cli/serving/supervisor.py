"""The supervisor: owns the listening socket and replaces the worker behind it without losing a request."""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.serving.control_files import (
    Deployment,
    EndpointDirectory,
    Outcome,
    Service,
    note_supervision,
    write_json,
)
from mlops_cli.serving.listen_socket import bind
from mlops_cli.serving.worker_handle import DeploymentError, Worker

log = logging.getLogger("mlops.server")

# Pauses in seconds before a dead worker is restarted; after a minute of service they begin anew.
BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LASTING_SECONDS = 60.0
STOP_SECONDS = 8.0
LOOK_SECONDS = 1.0
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class ActiveDeployment:
    """The deployment in service, or being restored to it."""

    deployment: Deployment
    listener: socket.socket
    worker: Worker

    def service(self, reason: str = "") -> Service:
        """Return the record of it; ``reason`` says why the worker is down."""
        since = time.strftime(TIME, time.gmtime())
        worker = None if reason else self.worker.process.pid
        return Service(self.deployment, self.listener.getsockname()[1], since, worker, reason)


class Supervisor:
    def __init__(self, folder: EndpointDirectory) -> None:
        self._folder = folder
        self._live: ActiveDeployment | None = None
        self._leaving: dict[asyncio.Task[None], str] = {}
        self._deaths = 0
        self._called = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, or until the first deployment fails."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._called.set)
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self._stopped.set)
        # Only now may other processes send signals here: they read the process number from this file.
        note_supervision(self._folder.supervisor_lock)
        watch = asyncio.create_task(self._watch(self._folder.supervisor_lock.stat()))
        await self._deploy()
        while self._live is not None and not self._stopped.is_set():
            await self._handle_event(self._live)
        watch.cancel()
        if self._live is not None:
            await self._live.worker.end(signal.SIGINT, STOP_SECONDS)

    async def _watch(self, lock: os.stat_result) -> None:
        """End when the folder was moved or removed: no command could find this server again."""
        while _is_at(self._folder.supervisor_lock, lock):
            await asyncio.sleep(LOOK_SECONDS)
        moved = EndpointDirectory(Path())  # the current folder is the same one at its new path
        log.error("%s was moved or removed: the server ends", self._folder.root)
        if self._live is not None and _is_at(moved.supervisor_lock, lock):
            reason = f"The server has ended because its folder was moved here from {self._folder.root}."
            with contextlib.suppress(OSError):
                write_json(moved.service, self._live.service(reason))
        self._stopped.set()

    async def _handle_event(self, live: ActiveDeployment) -> None:
        events = [asyncio.create_task(event.wait()) for event in (self._called, self._stopped)]
        died = asyncio.create_task(live.worker.process.wait())
        await _first((*events, died))
        if self._stopped.is_set():
            return
        if self._called.is_set():
            await self._deploy()
        else:
            await self._revive(live, died.result())

    async def _deploy(self) -> None:
        """Carry out the deployment in the folder and write down its outcome."""
        self._called.clear()
        deployment = self._folder.read_deployment()
        if deployment is None or (self._live and self._live.deployment.id == deployment.id):
            return
        self._write_outcome(Outcome(deployment.id, done=False))
        try:
            with _deployment_errors():
                self._remove_unused_packages(deployment.id)
                listener = self._listener(deployment)
            await self._replace(deployment, listener)
        except DeploymentError as error:
            log.error("deployment %s failed: %s", deployment.id, error)
            outcome = Outcome(deployment.id, str(error), error.hint)
            self._remove(deployment.id)
        else:
            log.info("deployment %s serves %s", deployment.id, deployment.digest)
            outcome = Outcome(deployment.id)
        self._write_outcome(outcome)

    async def _replace(self, deployment: Deployment, listener: socket.socket) -> None:
        """Put the new model into service, then retire the old one; raise DeploymentError."""
        old = self._live
        try:
            with _deployment_errors():
                self._live = await self._start_worker(deployment, listener)
        except DeploymentError:
            if old is None or listener is not old.listener:
                listener.close()
            raise
        if old is not None:
            await self._retire(old)
            if old.listener is not listener:
                old.listener.close()

    async def _start_worker(self, deployment: Deployment, listener: socket.socket) -> ActiveDeployment:
        """Return a new worker that is ready and on record; raise DeploymentError or OSError, and leave none."""
        live = ActiveDeployment(deployment, listener, await Worker.start(self._folder, deployment, listener))
        try:
            await self._ready(live.worker, deployment.seconds)
            # Without the record, commands would take the old model for live: then the new one must not serve.
            write_json(self._folder.service, live.service())
        except (DeploymentError, OSError):
            await live.worker.end(signal.SIGKILL, STOP_SECONDS)
            raise
        return live

    def _listener(self, deployment: Deployment) -> socket.socket:
        """Return the socket in use if the address stays the same, so that no connection is lost, or a new one."""
        if self._live is None:
            earlier = self._folder.read_service()
            return bind(deployment, earlier.port if earlier else 0)
        active = self._live
        port = active.listener.getsockname()[1]
        if deployment.host == active.deployment.host and deployment.port in (0, port):
            return active.listener
        return bind(deployment, 0)

    async def _ready(self, worker: Worker, seconds: float) -> None:
        """Wait until the worker is ready; raise DeploymentError, also if the server is being stopped."""
        ready = asyncio.create_task(worker.wait_for_message("ready", seconds))
        await _first((ready, asyncio.create_task(self._stopped.wait())))
        if not ready.done() or ready.cancelled():
            raise DeploymentError("The server was stopped before the new model was ready.")
        await ready

    async def _retire(self, live: ActiveDeployment) -> None:
        """Let the old worker accept no more connections; it leaves after its last client."""
        limits = live.deployment.limits
        ending = live.worker.end(signal.SIGTERM, limits.keep_alive_seconds + limits.request_seconds)
        task = asyncio.create_task(ending)
        self._leaving[task] = live.deployment.id
        task.add_done_callback(self._remove_retired)
        with contextlib.suppress(DeploymentError):  # the worker may have died by itself just now
            await live.worker.wait_for_message("draining", STOP_SECONDS)

    def _remove_retired(self, task: asyncio.Task[None]) -> None:
        # Not earlier: a package's code may read its files as long as it answers requests.
        self._remove(self._leaving.pop(task))

    async def _revive(self, live: ActiveDeployment, code: int) -> None:
        """Restart the dead worker until it serves, or until another deployment is requested."""
        self._deaths = 1 if self._was_stable() else self._deaths + 1
        while True:
            live.worker.close()
            reason = f"The worker died ({Worker.ending(code)}) and is started again."
            log.error("worker %d: %s", live.worker.process.pid, reason)
            self._write_service(live.service(reason))
            if await self._interrupted(BACK_OFF[min(self._deaths, len(BACK_OFF)) - 1]):
                return
            try:
                with _deployment_errors():
                    live.worker = await Worker.start(self._folder, live.deployment, live.listener)
                await self._ready(live.worker, live.deployment.seconds)
            except DeploymentError as error:
                log.error("the worker cannot be started again: %s", error)
                await live.worker.end(signal.SIGKILL, STOP_SECONDS)
                code = live.worker.process.returncode or 0
                self._deaths += 1
            else:
                self._write_service(live.service())
                return

    def _write_service(self, service: Service) -> None:
        """Write the record if possible: a serving worker continues without it."""
        try:
            write_json(self._folder.service, service)
        except OSError as error:
            log.error("%s cannot be written: %s", self._folder.service, error)

    def _write_outcome(self, outcome: Outcome) -> None:
        """Write the outcome; if that fails, remove the old one: unknown is better than wrong."""
        try:
            write_json(self._folder.outcome, outcome)
        except OSError as error:
            log.error("%s cannot be written: %s", self._folder.outcome, error)
            with contextlib.suppress(OSError):
                self._folder.outcome.unlink(missing_ok=True)

    def _was_stable(self) -> bool:
        """Return True if the dead worker had been in service for long."""
        service = self._folder.read_service()
        since = calendar.timegm(time.strptime(service.since, TIME)) if service else 0
        return time.time() - since > LASTING_SECONDS

    async def _interrupted(self, seconds: float) -> bool:
        """Wait; return True if a deployment was requested or the server is being stopped."""
        events = [asyncio.create_task(event.wait()) for event in (self._called, self._stopped)]
        await _first(events, seconds)
        return self._called.is_set() or self._stopped.is_set()

    def _remove(self, deployment_id: str) -> None:
        with contextlib.suppress(OSError):  # the next deployment removes the rest
            self._folder.package(deployment_id).unlink(missing_ok=True)
        shutil.rmtree(self._folder.unpacked(deployment_id), ignore_errors=True)

    def _remove_unused_packages(self, current: str) -> None:
        """Remove the packages left by killed commands and supervisors."""
        kept = {current, *self._leaving.values()}
        if self._live is not None:
            kept.add(self._live.deployment.id)
        for deployment_id in {path.name.removesuffix(".tar.gz") for path in self._folder.models.iterdir()}:
            if deployment_id not in kept:
                self._remove(deployment_id)


def _is_at(path: Path, lock: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), lock)
    except OSError:
        return False


@contextlib.contextmanager
def _deployment_errors() -> Iterator[None]:
    """Raise DeploymentError for OSError: a full disk, no process or no file left."""
    try:
        yield
    except OSError as error:
        raise DeploymentError(f"The new server cannot be started: {error}.", "Check free space: df -h .") from error


async def _first(tasks: Iterable[asyncio.Task[object]], seconds: float | None = None) -> None:
    """Wait for the first of the tasks, at most ``seconds``; cancel the others."""
    _, pending = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
