"""The life of a training or processing job: states, processes on its hosts, stopping, time limits, failure."""

from __future__ import annotations

import contextlib
import datetime
import enum
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.processes import Process
from aws_simulator.services.sagemaker import images
from aws_simulator.services.sagemaker.common import SERVICE, now
from aws_simulator.services.sagemaker.logs import LogStream
from aws_simulator.services.sagemaker.storage import Failure

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.pace import Pace
    from aws_simulator.simulator import Simulator

MOUNT = "/opt/ml"
LOOK_SECONDS = 0.01
REASON_LENGTH = 1024


class Stopped(Exception):
    """The job was stopped before its processes ran."""


class Ending(enum.Enum):
    EXITED = enum.auto()
    STOPPED = enum.auto()
    TIMED_OUT = enum.auto()
    INTERRUPTED = enum.auto()


def network_names(hosts: Sequence[str]) -> list[str]:
    """Return the names by which a job's hosts find each other.

    SageMaker resolves the hosts' names. Here they share one machine, and several hosts have an address and a free port
    each, in the same order.
    """
    if len(hosts) == 1:
        return list(hosts)
    with contextlib.ExitStack() as open_:
        listeners = [open_.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in hosts]
        return sorted(f"127.0.0.1:{listener.getsockname()[1]:05d}" for listener in listeners)


class Job:
    """Runs in a thread of its own. Everything else about it may be read at any time."""

    log_group: ClassVar[str]

    def __init__(self, simulator: Simulator, pace: Pace, name: str, arn: str, request: Mapping[str, Any]) -> None:
        self.simulator = simulator
        self.pace = pace
        self.name = name
        self.arn = arn
        self.request = request
        self.status = "InProgress"
        self.failure_reason = ""
        self.created = self.modified = now()
        self.started: datetime.datetime | None = None
        self.ended: datetime.datetime | None = None
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.interrupted = threading.Event()
        self.finished = threading.Event()
        self.culprit: Process | None = None
        """The first process that failed by itself."""
        self.folder = simulator.folder / "jobs" / f"{name}-{uuid.uuid4().hex[:8]}"
        self.role: Caller

    @property
    def is_over(self) -> bool:
        return self.status in ("Completed", "Failed", "Stopped")

    def run(self) -> None:
        """Run the job from its start to any end."""
        try:
            self.work()
        except Stopped:
            self.end("Stopped")
        except (Failure, ServiceError) as failure:
            self.fail(str(failure))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.finished.set()

    def work(self) -> None:
        """Do the job and end with ``end``. Raise Failure."""
        raise NotImplementedError

    def begin(self, image: str) -> None:
        """Do the first steps of any job: assume the role, and check that it may pull the image."""
        self.pace.wait(self.stopping)
        while reason := self.pace.failure():
            if not self.is_retried(reason):
                raise Failure(reason)
        self.role = assume(self.request["RoleArn"], SERVICE, "SageMaker")
        images.pull(self.simulator, image, self.role)

    def is_retried(self, reason: str) -> bool:
        """Return True if SageMaker itself starts the job again after this failure."""
        return False

    def end(self, status: str) -> None:
        with self.lock:
            self.ended = self.modified = now()
            self.status = status

    def fail(self, reason: str) -> None:
        self.failure_reason = reason[:REASON_LENGTH]
        self.end("Failed")

    def stop(self) -> bool:
        """Stop the job. Return False if it is not in progress any more."""
        with self.lock:
            if self.status != "InProgress":
                return False
            self.status = "Stopping"
            self.modified = now()
            self.stopping.set()
            return True

    def client(self, name: str) -> Any:
        """Return a client with the credentials of the job's role."""
        return self.simulator.client(name, self.role)

    def streams(self, hosts: Sequence[str]) -> dict[str, LogStream]:
        """Return a log stream for each host, named as by AWS."""
        moment = int(time.time() * 1000)
        return {host: LogStream(self.client("logs"), self.log_group, f"{self.name}/{host}-{moment}") for host in hosts}

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], on_line: Callable[[str], None]) -> Process:
        """Start one host's main process. A missing program ends with 127."""
        return self.simulator.processes.start(["/usr/bin/env", "--", *argv], cwd, env, on_line)

    def supervise(self, processes: Sequence[Process], seconds: float, on_look: Callable[[], None]) -> Ending:
        """Wait for all of them. A failed process, a stop, a time limit or an interruption ends all of them."""
        ending, limit, kill_at = Ending.EXITED, time.monotonic() + seconds, float("inf")
        while any(process.code is None for process in processes):
            if ending is Ending.EXITED and (ending := self._requested_ending(limit)) is not Ending.EXITED:
                end(processes, softly=ending is not Ending.INTERRUPTED)
                kill_at = time.monotonic() + self.pace.grace
            self.culprit = self.culprit or next((process for process in processes if process.code), None)
            if time.monotonic() > kill_at or self.culprit:
                end(processes, softly=False)
            on_look()
            time.sleep(LOOK_SECONDS)
        for process in processes:
            process.wait()
            self.culprit = self.culprit or (process if process.code else None)
        return Ending.STOPPED if self.stopping.is_set() else ending

    def _requested_ending(self, limit: float) -> Ending:
        if self.stopping.is_set():
            return Ending.STOPPED
        if self.interrupted.is_set():
            return Ending.INTERRUPTED
        return Ending.TIMED_OUT if time.monotonic() > limit else Ending.EXITED


def end(processes: Sequence[Process], softly: bool) -> None:
    """End the processes that still run."""
    for process in processes:
        if process.code is None:
            process.terminate() if softly else process.kill()


def mapped(text: str, root: Path) -> str:
    """Return the text of a command line or variable with the container's paths replaced by those below ``root``."""
    return text.replace(MOUNT, str(root))
