"""The simulated AWS as a pytest fixture. In a conftest: ``from aws_simulator.fixture import aws, aws_server``."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aws_simulator.permissions.throttling import CALLER

ROOT = Path(__file__).resolve().parents[1]
REGION = "us-east-1"


class Aws:
    """A running simulator, seen from a test."""

    def __init__(self, url: str, folder: Path, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.folder = folder
        self.process = process

    @cached_property
    def _session(self) -> Any:
        import boto3

        return boto3.session.Session()

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which a command uses this AWS instead of the real one."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "NO_PROXY": "*",
        }

    def client(self, name: str, **credentials: str) -> Any:
        """Return a boto3 client with the owner's credentials, or with the given ones (aws_access_key_id …)."""
        from botocore.config import Config

        keys = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        once = Config(retries={"total_max_attempts": 1}, read_timeout=120, user_agent_extra=CALLER)
        return self._session.client(name, endpoint_url=self.url, region_name=REGION, config=once, **keys)

    def control(self, name: str, /, **arguments: Any) -> Any:
        """Send a control request to the simulator. Raise AssertionError with its message if it refuses."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        try:
            connection.request("POST", f"/_simulator/{name}", json.dumps(arguments))
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, body
        return body

    def denials(self) -> list[dict[str, Any]]:
        """Return the denied requests of roles: role, action, resource."""
        return list(self.control("denials"))

    def permissions(self) -> list[dict[str, Any]]:
        """Return the requests of roles: role, action, resource, allowed, count."""
        return list(self.control("permissions"))

    def unused_permissions(self) -> list[dict[str, str]]:
        """Return the action patterns in the roles' policies that no request has used: role, action."""
        return list(self.control("unused-permissions"))

    def reset(self) -> None:
        """Empty the account, and stop everything that runs."""
        self.control("reset")


def start(folder: Path, *options: str) -> Aws:
    """Start a separate simulator. The caller ends it with ``stop``; it always ends with this process."""
    command = [sys.executable, "-m", "aws_simulator", "--leashed", "--folder", str(folder), *options]
    with (folder / "simulator.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the simulator did not start\n{(folder / 'simulator.log').read_text()}"
    return Aws(json.loads(line)["url"], folder, process)


def stop(aws: Aws) -> None:
    assert aws.process.stdin is not None
    assert aws.process.stdout is not None
    aws.process.stdin.close()
    aws.process.wait(180)  # a busy machine needs time to end its processes
    aws.process.stdout.close()


@contextmanager
def service_files_read_once() -> Iterator[None]:
    """Cache botocore's files: otherwise each client of each test parses megabytes of JSON again."""
    from botocore.loaders import Loader

    def cached(method: Callable[..., Any]) -> Callable[..., Any]:
        results: dict[tuple[Any, ...], Any] = {}

        def load(self: Loader, *names: Any, **more: Any) -> Any:
            key = (*names, *sorted(more.items()))
            if key not in results:
                results[key] = method(self, *names, **more)
            return results[key]

        return load

    with pytest.MonkeyPatch.context() as patch:
        for name in ("load_service_model", "load_data_with_path"):
            patch.setattr(Loader, name, cached(getattr(Loader, name)))
        yield


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory: pytest.TempPathFactory, aws_simulator_options: list[str]) -> Iterator[Aws]:
    """Provide one simulator for the whole session. Your fixture ``aws_simulator_options`` adds command-line options."""
    aws = start(tmp_path_factory.mktemp("aws"), *aws_simulator_options)
    with service_files_read_once():
        yield aws
    stop(aws)


@pytest.fixture
def aws(aws_server: Aws) -> Iterator[Aws]:
    """Provide an empty AWS account. Fail the test if the simulator did anything that AWS would not do."""
    aws_server.reset()
    yield aws_server
    drift = aws_server.control("drift")
    assert not drift, "not as on AWS: " + "\n".join(drift)
