"""The instances behind one production variant: the project's own model server, with the model from S3."""

from __future__ import annotations

import http.client
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aws_simulator.endpoint_server import Container, EndpointServer, StartError
from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.services.sagemaker import images, metrics, storage
from aws_simulator.services.sagemaker.common import SERVICE
from aws_simulator.services.sagemaker.logs import LogStream
from aws_simulator.services.sagemaker.models import Model
from aws_simulator.services.sagemaker.storage import Failure

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.endpoints.endpoint_configs import EndpointConfig
    from aws_simulator.services.sagemaker.pace import Pace
    from aws_simulator.simulator import Simulator

START_SECONDS = 60.0
STOP_SECONDS = 5.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """A container's response."""

    status: int
    content_type: str
    body: bytes
    seconds: float


class FleetStoppedError(Exception):
    """The fleet takes no more requests."""


class Fleet:
    """All instances of a variant are one server: further instances are not simulated."""

    def __init__(
        self,
        simulator: Simulator,
        pace: Pace,
        endpoint: str,
        config: EndpointConfig,
        variant: Mapping[str, Any],
        model: Model,
    ) -> None:
        self._simulator = simulator
        self._pace = pace
        self._endpoint = endpoint
        self.config = config
        self.variant = variant
        self.model = model
        self.instances = int(variant.get("InitialInstanceCount", 0))
        self.weight = float(variant.get("InitialVariantWeight", 1.0))
        self.status = "Creating"
        self.status_since = time.time()
        self.stream = f"{variant['VariantName']}/i-{secrets.token_hex(8)[:17]}"
        self._folder = simulator.folder / "endpoints" / uuid.uuid4().hex[:12]
        self._server: EndpointServer | None = None
        self._ended = threading.Event()
        self._requests = 0
        self.is_stopping = False
        self._changed = threading.Condition()
        self.role: Caller

    @property
    def name(self) -> str:
        return str(self.variant["VariantName"])

    @property
    def log_group(self) -> str:
        return f"/aws/sagemaker/Endpoints/{self._endpoint}"

    def start(self) -> None:
        """Start the server and wait until it answers. Raise Failure with SageMaker's text."""
        if reason := self._pace.failure():
            raise Failure(reason)
        try:
            self.role = assume(self.model.role, SERVICE, "SageMaker")
        except ServiceError as error:
            raise Failure(str(error)) from error
        (container,) = self.model.containers
        self._pull(container["Image"])
        archive = self._folder / "model.tar.gz"
        (self._folder / "server").mkdir(parents=True)
        self._download(container.get("ModelDataUrl", ""), archive)
        metrics.publish(self.role, "/aws/sagemaker/Endpoints", f"{self._endpoint}/{self.name}")
        try:
            isolated = bool(self.model.request.get("EnableNetworkIsolation"))
            started = Container(container["Image"], container.get("Environment", {}), isolated)
            server = self._simulator.endpoint_server(self._folder / "server", self._endpoint, started)
            self._server = server
            threading.Thread(target=self._ship_log, args=(server.log,), daemon=True).start()
            server.start(archive, START_SECONDS)
        except StartError as error:
            raise Failure(
                f"The primary container for production variant {self.name} did not pass the ping health check. "
                "Please check CloudWatch logs for this endpoint."
            ) from error
        finally:
            archive.unlink()

    def _pull(self, image: str) -> None:
        try:
            images.pull(self._simulator, image, self.role)
        except Failure as error:
            raise Failure(
                f"The role {self.model.role} does not have BatchGetImage permission for the image: {image}. ({error})"
            ) from error

    def _download(self, uri: str, archive: Any) -> None:
        try:
            storage.download_file(self._simulator.client("s3", self.role), uri, archive)
        except Failure as error:
            failed = f'Failed to download model data for container "container_1" from URL: "{uri}".'
            ensure = "Please ensure that there is an object located at the URL and that the role passed to CreateModel"
            raise Failure(f"{failed} {ensure} has permissions to download the object.") from error

    def invoke(self, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """Send one request to the container.

        Raise FleetStoppedError if the fleet is leaving, OSError without a response, TimeoutError if it takes too long.
        """
        with self._changed:
            if self.is_stopping:
                raise FleetStoppedError
            self._requests += 1
        try:
            return self._send(body, headers, seconds)
        finally:
            with self._changed:
                self._requests -= 1
                self._changed.notify_all()

    def _send(self, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        if not seconds:
            raise TimeoutError("there is no time at all")
        if self._server is None:
            raise ConnectionError("the instance has not been started")
        address = urlsplit(self._server.url)
        began = time.perf_counter()
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=seconds)
        try:
            connection.request("POST", "/invocations", body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return Answer(answer.status, answer.getheader("content-type") or "", content, time.perf_counter() - began)

    def stop(self) -> None:
        """End the server after it has answered the requests that it has."""
        with self._changed:
            self.is_stopping = True
            self._changed.wait_for(lambda: not self._requests, STOP_SECONDS)
        if self._server is not None:
            self._server.stop(STOP_SECONDS)
        self._ended.set()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ship_log(self, log: Path) -> None:
        """Send the server's log line by line as it is written."""
        stream = LogStream(self._simulator.client("logs", self.role), self.log_group, self.stream)
        read, pending, ended = 0, "", False
        while not ended:
            ended = self._ended.wait(LOOK_SECONDS)
            if log.exists():
                with log.open(encoding="utf-8", errors="replace") as file:
                    file.seek(read)
                    *lines, pending = (pending + file.read()).split("\n")
                    read = file.tell()
                for line in lines:
                    stream(line)
        stream.close()
