"""Messages between the commands and the server: files in the endpoint's folder, replaced atomically."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from mlops_cli.files.atomic import open_unless_link, read_json, write_atomically
from mlops_cli.files.process_identity import Identity, own_identity, parse_identity

Record = TypeVar("Record")


@dataclass(frozen=True)
class Limits:
    """The limits of one server, in seconds, bytes and counts."""

    body_bytes: int = 6_291_456  # SageMaker's limit for a real-time invocation
    read_seconds: float = 30.0
    request_seconds: float = 60.0  # SageMaker's
    write_seconds: float = 30.0  # for a client to read its response
    takeover_seconds: float = 1.0  # after this time the other requests no longer wait for one
    keep_alive_seconds: float = 75.0
    connections: int = 1000
    waiting_requests: int = 256
    waiting_bytes: int = 134_217_728
    batch_requests: int = 32
    batch_rows: int = 64
    batch_seconds: float = 0.002


@dataclass(frozen=True)
class Deployment:
    """The request to serve ``models/<id>.tar.gz``, with the sha256 ``digest``, as ``name`` on host and port."""

    id: str
    name: str
    host: str
    port: int  # 0: the first free one from 8080 on
    digest: str
    seconds: float  # until the new worker must be ready
    limits: Limits = field(default_factory=Limits)
    sample: float = 0.0  # the share of requests that is measured
    framework: str = "tensorflow"
    examples: str = ""  # a request for the first call of the model
    hosts: tuple[str, ...] = ()  # more host names that callers may use
    batching: bool = False  # predict_fn gets the rows of several requests


@dataclass(frozen=True)
class Outcome:
    """The result of the deployment ``id``. ``error``: empty on success. It is in progress until ``done``."""

    id: str
    error: str = ""
    hint: str = ""
    done: bool = True


@dataclass(frozen=True)
class Service:
    """The deployment that is or should be in service. The supervisor writes it; the file stays after its end."""

    deployment: Deployment
    port: int
    since: str
    worker: int | None  # None while the worker is down
    reason: str = ""
    changed: tuple[str, ...] = ()  # files of the model package that were changed on disk
    incidents: tuple[str, ...] = ()  # the last restarts of the worker, and why


class EndpointDirectory:
    """The endpoint's folder and its file names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.deployment = root / "deployment.json"
        self.outcome = root / "outcome.json"
        self.service = root / "endpoint.json"
        self.supervisor_lock = root / "supervisor.lock"
        self.workers_lock = root / "workers.lock"
        self.log = root / "server.log"
        self.models = root / "models"
        self.observed = root / "observed"

    def package(self, deployment_id: str) -> Path:
        return self.models / f"{deployment_id}.tar.gz"

    def unpacked(self, deployment_id: str, worker: int) -> Path:
        """Return the folder with one worker's unpacked files of the package."""
        return self.models / f"{deployment_id}-{worker}"

    def read_deployment(self) -> Deployment | None:
        content = read_json(self.deployment)
        return None if content is None else _from_document(deployment_of, content)

    def read_outcome(self) -> Outcome | None:
        content = read_json(self.outcome)
        return None if content is None else _from_document(lambda fields: Outcome(**fields), content)

    def read_service(self) -> Service | None:
        content = read_json(self.service)
        return None if content is None else _from_document(service_of, content)


def deployment_of(content: dict[str, Any]) -> Deployment:
    return Deployment(**{**content, "limits": Limits(**content["limits"]), "hosts": tuple(content["hosts"])})


def service_of(content: dict[str, Any]) -> Service:
    texts = {name: tuple(content[name]) for name in ("changed", "incidents")}
    return Service(**{**content, **texts, "deployment": deployment_of(content["deployment"])})


def _from_document(build: Callable[[dict[str, Any]], Record], content: dict[str, Any]) -> Record | None:
    """Return the record; None if the file contains anything else. An unreadable file counts as missing."""
    try:
        return build(content)
    except (KeyError, TypeError):
        return None


def write_json(path: Path, record: Deployment | Outcome | Service) -> None:
    """Replace the record. Raise OSError; then the old record is unchanged."""
    write_atomically(path, json.dumps(asdict(record), indent=1))


def is_locked(path: Path, shared: bool = False) -> bool:
    """Return True if a living process holds the lock. ``shared``: its holders share it.

    The kernel releases a lock, however its holder dies.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return False
    with stream:
        return not _lock(stream, fcntl.LOCK_EX if shared else fcntl.LOCK_SH)


@dataclass(frozen=True)
class Supervision:
    """The supervisor that holds a folder's lock, and the folder's path at its start."""

    process: Identity
    folder: str


def supervision(path: Path) -> Supervision | None:
    """Return the note of the lock's holder; None if the lock is free or the note is not written yet."""
    content = read_json(path) if is_locked(path) else None
    with suppress(KeyError, TypeError, ValueError):
        return Supervision(parse_identity((content or {})["process"]), str((content or {})["folder"]))
    return None


def note_supervision(path: Path) -> None:
    """Write the note of this process into the existing lock file."""
    note = Supervision(own_identity(), str(path.parent))
    with open(path, "r+", encoding="utf-8", opener=open_unless_link) as stream:
        stream.truncate()
        stream.write(json.dumps(asdict(note)))


@contextmanager
def hold_lock(path: Path, exclusive: bool, seconds: float) -> Iterator[IO[bytes]]:
    """Hold the lock during the block. Raise TimeoutError. Wait for checks by ``is_locked`` to end."""
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    deadline = time.monotonic() + seconds
    with open(path, "ab", opener=open_unless_link) as stream:
        while not _lock(stream, kind):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is held by another process")
            time.sleep(0.01)
        yield stream


def _lock(stream: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
