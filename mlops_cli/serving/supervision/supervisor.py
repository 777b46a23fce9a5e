"""The supervisor: serves HTTP, and replaces the worker that computes predictions without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from mlops_cli.serving.control_files import (
    Deployment,
    EndpointDirectory,
    Outcome,
    Service,
    note_supervision,
    write_json,
)
from mlops_cli.serving.http.dispatcher import Dispatcher
from mlops_cli.serving.http.front_server import FrontServer
from mlops_cli.serving.http.listen_socket import bind
from mlops_cli.serving.http.routes import Front
from mlops_cli.serving.supervision import active_deployment
from mlops_cli.serving.supervision.active_deployment import TIME, ActiveDeployment, wait_until_unused
from mlops_cli.serving.supervision.log_file import LogFile
from mlops_cli.serving.supervision.worker_handle import DeploymentError, Worker

log = logging.getLogger("mlops.server")

# Pauses in seconds before a worker that died by itself is restarted. After a minute of service they start again.
BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LASTING_SECONDS = 60.0
STOP_SECONDS = 5.0
LOOK_SECONDS = 1.0
BEAT_SECONDS = 0.5
# A worker without progress for this multiple of the takeover time is considered dead.
STALLED = 5
MAX_LEAVING = 3
# Requests wait while a worker cannot be started, for this number of attempts. Then they are refused.
PATIENT_STARTS = 4
KEPT_INCIDENTS = 5


class Supervisor:
    def __init__(self, folder: EndpointDirectory, output: LogFile) -> None:
        self._folder = folder
        self._output = output
        self._live: ActiveDeployment | None = None
        self._front: Front | None = None
        self._server: FrontServer | None = None
        self._leaving: dict[asyncio.Task[None], ActiveDeployment] = {}
        self._started_workers = 0
        self._deaths = 0
        self._incidents: tuple[str, ...] = ()
        self._called = asyncio.Event()
        self._stopped = asyncio.Event()
        self._hanging = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, or until the first deployment fails."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._called.set)
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self._stopped.set)
        # From now on other processes may send signals here, because they read the process number from this file.
        note_supervision(self._folder.supervisor_lock)
        watches = [
            asyncio.create_task(watch)
            for watch in (
                self._watch_folder(self._folder.supervisor_lock.stat()),
                self._watch_worker(),
                self._watch_files(),
            )
        ]
        await self._deploy()
        while self._live is not None and not self._stopped.is_set():
            await self._handle_event(self._live)
        for watch in watches:
            watch.cancel()
        await self._end()

    async def _handle_event(self, live: ActiveDeployment) -> None:
        events = [asyncio.create_task(event.wait()) for event in (self._called, self._stopped, self._hanging)]
        died = asyncio.create_task(live.worker.process.wait())
        await _first((*events, died))
        if self._stopped.is_set():
            return
        if self._called.is_set():
            await self._deploy()
        elif died.done() and not died.cancelled():
            await self._revive(live, died.result())
        elif self._hanging.is_set():
            await self._renew(live)

    async def _deploy(self) -> None:
        """Execute the deployment in the folder and write its outcome."""
        self._called.clear()
        deployment = self._folder.read_deployment()
        if deployment is None or (self._live and self._live.deployment.id == deployment.id):
            return
        self._write_outcome(Outcome(deployment.id, done=False))
        try:
            self._remove_unused_packages(deployment.id)
            await self._replace(deployment)
        except (DeploymentError, OSError) as error:
            log.error("deployment %s failed: %s", deployment.id, error)
            hint = error.hint if isinstance(error, DeploymentError) else "Check free space: df -h ."
            outcome = Outcome(deployment.id, str(error), hint)
            self._folder.package(deployment.id).unlink(missing_ok=True)
        else:
            log.info("deployment %s serves %s", deployment.id, deployment.digest)
            outcome = Outcome(deployment.id)
        self._write_outcome(outcome)

    async def _replace(self, deployment: Deployment) -> None:
        """Start the new worker beside the old one and put it into service. Raise DeploymentError."""
        former = self._live
        listener = self._listener(deployment)
        try:
            if self._front is None:
                self._front = Front(Dispatcher(deployment.limits, self._report_hanging), deployment)
                self._server = FrontServer(self._front)
            fresh = await self._start(deployment, listener)
            try:
                write_json(self._folder.service, fresh.service(()))
            except OSError as error:
                await fresh.end()
                message = f"The new server cannot be started: {error}."
                raise DeploymentError(message, "Check free space: df -h .") from error
        except BaseException:
            if former is None or listener is not former.listener:
                listener.close()
            raise
        self._incidents = ()
        self._put_into_service(fresh, former)

    async def _start(self, deployment: Deployment, listener: socket.socket) -> ActiveDeployment:
        self._started_workers += 1
        return await active_deployment.start(
            self._folder, deployment, listener, self._started_workers, self._output.write, self._ready
        )

    def _put_into_service(self, fresh: ActiveDeployment, former: ActiveDeployment | None) -> None:
        """Send requests to the new worker. The old one finishes its own requests."""
        front, server = self._front, self._server
        if front is None or server is None:
            raise RuntimeError("a worker is in service before there is a server")
        front.deployment, front.reason = fresh.deployment, ""
        front.dispatcher.limits = fresh.deployment.limits
        if fresh.worker.has_handler:
            fresh.accepting = server.listen_for(fresh.worker, fresh.private)
        front.dispatcher.use(fresh.worker)
        server.listen(fresh.listener)
        self._live = fresh
        self._hanging.clear()
        if former is not None:
            front.dispatcher.move(former.worker)
            task = asyncio.create_task(self._retire(front.dispatcher, former))
            self._leaving[task] = former
            task.add_done_callback(self._leaving.pop)
            for overdue in list(self._leaving)[:-MAX_LEAVING]:
                overdue.cancel()

    async def _retire(self, dispatcher: Dispatcher, former: ActiveDeployment) -> None:
        """End the worker after it has answered its requests. The next worker computes the remaining ones."""
        with contextlib.suppress(asyncio.CancelledError):
            await wait_until_unused(former, former.deployment.limits.request_seconds + 1)
        if former.worker.pending:
            dispatcher.lose(former.worker)
        await former.end()
        if self._live is None or self._live.deployment.id != former.deployment.id:
            with contextlib.suppress(OSError):  # the next deployment removes the remaining files
                self._folder.package(former.deployment.id).unlink(missing_ok=True)

    async def _revive(self, live: ActiveDeployment, code: int) -> None:
        """Restart the dead worker until it serves or another deployment is requested."""
        if self._front is None:
            return
        await live.worker.last_answers()
        computing, lost = self._front.dispatcher.lose(live.worker)
        reason = f"The worker died ({Worker.ending(code)}) and is started again."
        detail = f" It was computing {computing} requests; {lost} are lost." if computing else ""
        self._front.reason = reason
        self._note_incident(f"the worker died ({Worker.ending(code)}) and was started again.{detail}")
        self._write_service(live.service(self._incidents, reason))
        # A death caused by a request does not mean that the next worker dies, too.
        was_stable = time.monotonic() - live.started > LASTING_SECONDS
        self._deaths = 0 if computing else 1 if was_stable else self._deaths + 1
        failures = 0
        while not await self._interrupted(BACK_OFF[min(max(self._deaths, 1), len(BACK_OFF)) - 1]):
            try:
                fresh = await self._start(live.deployment, live.listener)
            except DeploymentError as error:
                log.error("the worker cannot be started again: %s", error)
                self._deaths += 1
                failures += 1
                self._front.reason = f"{reason} That failed: {error}"
                if failures >= PATIENT_STARTS:
                    self._front.dispatcher.suspend(self._front.reason)
                self._write_service(live.service(self._incidents, self._front.reason))
            else:
                self._put_into_service(fresh, None)
                self._write_service(fresh.service(self._incidents))
                await live.end()
                return

    async def _renew(self, live: ActiveDeployment) -> None:
        """Replace a worker that hangs by a new one with the same model."""
        try:
            fresh = await self._start(live.deployment, live.listener)
        except DeploymentError as error:
            log.error("the hanging worker cannot be replaced: %s", error)
            self._hanging.clear()
            return
        self._put_into_service(fresh, live)
        self._write_service(fresh.service(self._incidents))

    def _report_hanging(self, worker: Worker) -> None:
        """Have the worker replaced, because it still computes a request after its time limit."""
        if self._live is not None and self._live.worker is worker and not self._hanging.is_set():
            seconds = self._live.deployment.limits.request_seconds
            self._note_incident(f"a request was not answered within {seconds:g} s; the worker was replaced.")
            self._hanging.set()

    async def _watch_worker(self) -> None:
        """Have a worker replaced that does not react although requests wait for it."""
        beats, worker, changed = 0, None, time.monotonic()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            live, now = self._live, time.monotonic()
            if live is None or self._hanging.is_set() or live.worker.process.returncode is not None:
                continue
            if live.worker is not worker or live.worker.board.beats != beats or not live.worker.pending:
                worker, beats, changed = live.worker, live.worker.board.beats, now
            elif now - changed > STALLED * live.deployment.limits.takeover_seconds and self._front is not None:
                self._front.reason = "The worker does not react; it is being replaced."
                self._note_incident("the worker did not react and was replaced.")
                self._hanging.set()
                changed = now

    async def _watch_files(self) -> None:
        """Detect changes of the files of the model in service."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            live = self._live
            if live is None or live.worker.process.returncode is not None:
                continue
            changed = tuple(await asyncio.to_thread(live.files.changes))
            if changed != live.changed and live is self._live:
                live.changed = changed
                log.error("files of the model package were changed on disk: %s", ", ".join(changed) or "no longer")
                self._write_service(live.service(self._incidents))

    async def _watch_folder(self, lock: os.stat_result) -> None:
        """End if the folder was moved or removed, because no command could find this server again."""
        while _is_at(self._folder.supervisor_lock, lock):
            await asyncio.sleep(LOOK_SECONDS)
        moved = EndpointDirectory(Path())  # the current folder is the same folder at its new path
        log.error("%s was moved or removed: the server ends", self._folder.root)
        if self._live is not None and _is_at(moved.supervisor_lock, lock):
            reason = f"The server has ended because its folder was moved here from {self._folder.root}."
            with contextlib.suppress(OSError):
                write_json(moved.service, self._live.service((), reason))
        self._stopped.set()

    async def _end(self) -> None:
        """Accept no more requests, answer those in progress, end the workers."""
        if self._server is not None:
            await self._server.finish(STOP_SECONDS)
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._live is not None:
            await self._live.end()

    def _listener(self, deployment: Deployment) -> socket.socket:
        """Return the socket in use if the address stays the same, so that no connection is lost; else a new one."""
        if self._live is None:
            earlier = self._folder.read_service()
            return bind(deployment, earlier.port if earlier else 0)
        active = self._live
        port = active.listener.getsockname()[1]
        if deployment.host == active.deployment.host and deployment.port in (0, port):
            return active.listener
        return bind(deployment, 0)

    async def _ready(self, worker: Worker, seconds: float) -> None:
        """Wait until the worker is ready. Raise DeploymentError, also if the server is being stopped."""
        ready = asyncio.create_task(worker.wait_until_ready(seconds))
        await _first((ready, asyncio.create_task(self._stopped.wait())))
        if not ready.done() or ready.cancelled():
            raise DeploymentError("The server was stopped before the new model was ready.")
        await ready

    def _note_incident(self, text: str) -> None:
        log.error("%s", text)
        self._incidents = (*self._incidents, f"{time.strftime(TIME, time.gmtime())} {text}")[-KEPT_INCIDENTS:]

    def _write_service(self, service: Service) -> None:
        """Write the record if possible. A worker that serves continues without it."""
        try:
            write_json(self._folder.service, service)
        except OSError as error:
            log.error("%s cannot be written: %s", self._folder.service, error)

    def _write_outcome(self, outcome: Outcome) -> None:
        """Write the outcome. If that fails, remove the old one: an unknown outcome is better than a wrong one."""
        try:
            write_json(self._folder.outcome, outcome)
        except OSError as error:
            log.error("%s cannot be written: %s", self._folder.outcome, error)
            with contextlib.suppress(OSError):
                self._folder.outcome.unlink(missing_ok=True)

    async def _interrupted(self, seconds: float) -> bool:
        """Wait. Return True if a deployment was requested or the server is being stopped."""
        events = [asyncio.create_task(event.wait()) for event in (self._called, self._stopped)]
        await _first(events, seconds)
        return self._called.is_set() or self._stopped.is_set()

    def _remove_unused_packages(self, current: str) -> None:
        """Remove the packages that killed commands and supervisors have left."""
        active = [*self._leaving.values(), *([self._live] if self._live else [])]
        kept = {self._folder.package(current)}
        for deployment in active:
            kept |= {self._folder.package(deployment.deployment.id), deployment.files.folder}
        for path in set(self._folder.models.iterdir()) - kept:
            with contextlib.suppress(OSError):
                path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def _is_at(path: Path, lock: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), lock)
    except OSError:
        return False


async def _first(tasks: Iterable[asyncio.Task[object]], seconds: float | None = None) -> None:
    """Wait for the first of the tasks, at most ``seconds``. Cancel the others."""
    _, pending = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
