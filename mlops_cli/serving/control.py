"""Control the local endpoint from the commands: deploy, status, stop, invoke."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.files.json_text import parse_json
from mlops_cli.monitoring.statistics import CUSTOM_ATTRIBUTES, EXCLUDE_FROM_STATISTICS, Counts
from mlops_cli.plain_text import clipped, log_line
from mlops_cli.serving.client import Response, base_url, request
from mlops_cli.serving.control_files import (
    Deployment,
    EndpointDirectory,
    Limits,
    Outcome,
    Service,
    write_json,
)
from mlops_cli.serving.supervisor_process import ServerProcesses, SupervisorProcess, await_end

LOG_LINES = 12
EXAMPLES_BYTES = 65_536
PING_SECONDS = 3.0
STOP_SECONDS = 15.0


class ServerState(str, Enum):
    """ABSENT: never deployed, or removed. FAILED: deployed, but not running."""

    ABSENT = "absent"
    UPDATING = "updating"
    IN_SERVICE = "in-service"
    FAILED = "failed"


@dataclass(frozen=True)
class EndpointStatus:
    """The endpoint's present state. ``model_digest``: reported by the running server itself."""

    name: str
    state: ServerState
    url: str
    pid: int | None
    model_digest: str | None
    since: str | None
    reason: str
    log: Path
    sample: float = 0.0
    changed_files: tuple[str, ...] = ()  # files of the served model package that were changed on disk
    incidents: tuple[str, ...] = ()
    host: str = ""  # the address that the server is bound to
    hosts: tuple[str, ...] = ()  # more host names that callers may use
    batching: bool = False


class LocalEndpoint:
    """One endpoint: its folder, and a supervisor process that continues after this process."""

    def __init__(
        self,
        folder: Path,
        name: str,
        processes: ServerProcesses,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        sample: float = 0.0,
        environment: Mapping[str, str] | None = None,
        examples: str = "",
        hosts: tuple[str, ...] = (),
        batching: bool = False,
    ) -> None:
        """``sample``: the share of requests that is measured. ``environment``: is added to the server's own.

        ``examples``: the body of a request for the model's first call. ``hosts``: host names that callers may use in
        addition. ``batching``: the package's predict_fn gets the rows of several requests.
        """
        self._folder = EndpointDirectory(folder)
        self.name = name
        self._supervisor = SupervisorProcess(self._folder, name, processes, environment or {})
        self.host = host
        self.port = port
        self.limits = limits or Limits()
        self.sample = sample
        self.hosts = hosts
        self.batching = batching
        # The examples are a part of a command line, which has at most 128 KiB.
        self._examples = examples if len(examples.encode()) <= EXAMPLES_BYTES else ""

    def deploy(self, model: Path, digest: str, timeout: float, framework: str = "tensorflow") -> EndpointStatus:
        """Serve the model package with the SHA-256 ``digest``. A running server loses no request.

        Do nothing if this package is in service. Raise MlopsError on failure; then the previous model stays in service.
        """
        current = self.status()
        if current.state is ServerState.IN_SERVICE and self._is_serving(digest, current):
            return current
        if self._supervisor.was_moved:
            self.stop(STOP_SECONDS)
        deployment = Deployment(
            os.urandom(6).hex(),
            self.name,
            self.host,
            self.port,
            digest,
            timeout,
            self.limits,
            self.sample,
            framework,
            self._examples,
            self.hosts,
            self.batching,
        )
        self._store_package(model, deployment)
        write_json(self._folder.deployment, deployment)
        mark = self._supervisor.log_size
        self._folder.outcome.unlink(missing_ok=True)
        outcome = self._await_outcome(deployment, self._supervisor.signal_or_start(timeout), timeout + 15)
        if outcome.error:
            raise self._failure(outcome.error, outcome.hint, mark)
        return self.status()

    def status(self) -> EndpointStatus:
        """Ask the kernel whether the server lives, and the server which model it serves. Wait some seconds at most."""
        service = self._folder.read_service()
        supervisor = self._supervisor.pid
        if not self._supervisor.is_alive:
            if service is None:
                return self._status(ServerState.ABSENT, None, reason="No model was deployed.")
            reason = "The server process has died." if service.worker else service.reason
            return self._status(ServerState.FAILED, service, reason=reason)
        if service is None:
            return self._status(ServerState.UPDATING, None, supervisor, reason="The server is starting.")
        digest, reason = self._ping(service)
        if digest is None:
            return self._status(ServerState.FAILED, service, supervisor, reason=reason)
        outcome = self._folder.read_outcome()
        if outcome is not None and not outcome.done:
            reason = "Another model is being deployed; the present one answers until it is ready."
            return self._status(ServerState.UPDATING, service, supervisor, digest, reason)
        return self._status(ServerState.IN_SERVICE, service, supervisor, digest)

    def stop(self, timeout: float) -> None:
        """End the server and its workers, and remove the deployment. Return when all of them are gone.

        Safe to repeat. Raise MlopsError if a process does not end.
        """
        self._supervisor.stop(timeout)
        for path in (self._folder.service, self._folder.deployment, self._folder.outcome):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._folder.models, ignore_errors=True)

    def invoke(self, body: bytes, content_type: str) -> Response:
        """Send one POST to the endpoint, excluded from statistics. Raise MlopsError if there is no response."""
        service = self._folder.read_service()
        if service is None:
            raise MlopsError(f"The endpoint {self.name} does not exist.", "Deploy a model first: mlops run")
        path = f"/endpoints/{self.name}/invocations"
        timeout = service.deployment.limits.request_seconds + 5
        try:
            return request(
                service,
                "POST",
                path,
                timeout,
                body,
                {"Content-Type": content_type, CUSTOM_ATTRIBUTES: EXCLUDE_FROM_STATISTICS},
            )
        except OSError as error:
            reason = str(error) or type(error).__name__
            raise MlopsError(
                f"The endpoint {self.name} does not answer: {reason}. Log: {self._folder.log}",
                "Check: mlops status",
            ) from error

    def read_statistics(self, digest: str, days: int) -> Counts:
        """Return a model's request statistics of the last days."""
        from mlops_cli.serving.supervision.request_statistics import read_counts

        return read_counts(self._folder.observed, digest, days)

    @property
    def invocations_url(self) -> str:
        """Return the full URL for POST requests. With port 0 and before a deployment, the port is a guess."""
        service = self._folder.read_service()
        host = service.deployment.host if service else self.host
        port = service.port if service else self.port or 8080
        return f"{base_url(host, port)}/endpoints/{self.name}/invocations"

    def _is_serving(self, digest: str, status: EndpointStatus) -> bool:
        service = self._folder.read_service()
        if service is None or status.model_digest != digest:
            return False
        deployment = service.deployment
        same_port = self.port in (0, service.port)
        served, desired = (
            (each.name, each.host, each.hosts, each.limits, each.sample, each.batching) for each in (deployment, self)
        )
        return same_port and not service.changed and served == desired

    def _store_package(self, model: Path, deployment: Deployment) -> None:
        """Copy the package, so that the endpoint does not depend on the original file."""
        from mlops_cli.files.model_archive import copy_with_sha256

        target = self._folder.package(deployment.id)
        try:
            self._folder.models.mkdir(parents=True, exist_ok=True)
            actual = copy_with_sha256(model, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            missing = isinstance(error, FileNotFoundError) and not model.exists()
            hint = "Train a model: mlops run --from train" if missing else "Free some disk space, then: mlops run"
            message = f"Cannot take the model package {model} into {self._folder.models}: {error.strerror}."
            raise MlopsError(message, hint) from error
        if actual != deployment.digest:
            target.unlink()
            raise MlopsError(
                f"{model} is not the approved model: its sha256 is {actual}, not {deployment.digest}.",
                "Train again and approve the new model: mlops run --from train",
            )

    def _await_outcome(
        self, deployment: Deployment, started: subprocess.Popen[bytes] | None, timeout: float
    ) -> Outcome:
        deadline = time.monotonic() + timeout
        while True:
            alive = started.poll() is None if started else self._supervisor.is_alive
            outcome = self._folder.read_outcome()
            if outcome is not None and outcome.id == deployment.id and outcome.done:
                if outcome.error and started:
                    await_end(started)
                return outcome
            if not alive:
                return Outcome(deployment.id, "The server died while it was starting.")
            if time.monotonic() > deadline:
                return Outcome(deployment.id, f"The server has not answered for {timeout:g} s.")
            time.sleep(0.01)

    def _failure(self, error: str, hint: str, mark: int) -> MlopsError:
        """Return the error with the last lines of this attempt in the log."""
        tail = "".join(f"\n  {clipped(log_line(line))}" for line in self._supervisor.log_lines(mark)[-LOG_LINES:])
        return MlopsError(
            f"{error} Log: {self._folder.log}{tail}", hint or "Fix the script that writes the package, then: mlops run"
        )

    def _ping(self, service: Service) -> tuple[str | None, str]:
        """Return the digest that the healthy server reports, or why it is not healthy."""
        no_answer = f"The server does not answer within {PING_SECONDS:g} s."
        if service.worker is None:
            return None, service.reason or no_answer
        try:
            answer = request(service, "GET", "/ping", PING_SECONDS)
        except OSError:
            return None, service.reason or no_answer
        name, _, digest = answer.headers.get(CUSTOM_ATTRIBUTES.lower(), "").partition("=")
        if answer.status == 200 and name == "model-digest":
            return digest, ""
        return None, _reason(answer) or service.reason or f"The server answers with {answer.status}."

    def _status(
        self,
        state: ServerState,
        service: Service | None,
        pid: int | None = None,
        digest: str | None = None,
        reason: str = "",
    ) -> EndpointStatus:
        log = self._folder.log
        if service is None:
            return EndpointStatus(self.name, state, "", pid, digest, None, reason, log)
        deployment = service.deployment
        return EndpointStatus(
            deployment.name,
            state,
            base_url(deployment.host, service.port),
            pid,
            digest,
            service.since,
            reason,
            log,
            deployment.sample,
            service.changed,
            service.incidents,
            deployment.host,
            deployment.hosts,
            deployment.batching,
        )


def _reason(answer: Response) -> str:
    """Return the reason in the response of an unhealthy server."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(parse_json(answer.body)["error"])
    return ""
