"""The simulated AWS of a rehearsal: a process on 127.0.0.1 that ends with this process and removes its files."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlops_cli
from mlops_cli import locks
from mlops_cli.core.rehearsal import AccessDecision, Grant, UsedResource
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command
from mlops_cli.project.environment import local_environment
from mlops_cli.rehearsal.findings import CALLER
from mlops_cli.rehearsal.kept import write_note

NEEDED = ("aws_simulator", "ministack", "cfnlint", "hypercorn", "packaging", "yaml", "pip")
END_SECONDS = 20.0
CONTROL_SECONDS = 120.0
KEEP = b"keep"
USER, REGION = CALLER, "us-east-1"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class SimulatedAws:
    def __init__(self, url: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.folder = folder
        self.pid = process.pid
        self.is_kept = False
        self._process = process

    def control(self, name: str, /, **arguments: Any) -> Any:
        """Return the response of one of the simulator's control requests."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=CONTROL_SECONDS)
        try:
            connection.request("POST", f"/_simulator/{name}", json.dumps(arguments))
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise MlopsError(f"The simulated AWS does not answer: {error}.", "Repeat it: mlops rehearse") from None
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise MlopsError(f"The simulated AWS refused {name}: {body}.", "Repeat it: mlops rehearse")
        return body

    def environment(self) -> dict[str, str]:
        """Return the variables and the credentials file that point mlops, the AWS CLI and boto3 at the simulator."""
        keys = {**self.control("administrator", name=USER), "region": REGION, "endpoint_url": self.url}
        file = self.folder / "aws.ini"
        file.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items()))
        return {"AWS_CONFIG_FILE": str(file), "AWS_SHARED_CREDENTIALS_FILE": str(file)}

    def limit_caller(self, policy: Mapping[str, Any]) -> None:
        """Allow the user exactly what the policy allows."""
        self.control("user-policy", name=USER, policy=dict(policy))

    def set_images(self, images: Mapping[str, Sequence[str]]) -> None:
        """Let jobs and builds import only these requirements and their dependencies, by the image's repository."""
        self.control("images", **{name: list(requirements) for name, requirements in images.items()})

    def decisions(self) -> list[AccessDecision]:
        """Return every IAM decision about roles and about the user."""
        listed = [(entry, entry["role"]) for entry in self.control("permissions")]
        listed += [(entry, entry["user"]) for entry in self.control("people")]
        return [
            AccessDecision(name, entry["action"], entry["resource"], entry["allowed"], entry.get("times", 1))
            for entry, name in listed
        ]

    def unused(self) -> list[Grant]:
        """Return the permissions that no request of the roles has used."""
        return [Grant(entry["role"], entry["action"]) for entry in self.control("unused-permissions")]

    def resources(self) -> list[UsedResource]:
        """Return the resources of all stacks, and the jobs."""
        return [UsedResource(**entry) for entry in self.control("resources")]

    def drift(self) -> list[str]:
        """Return the responses that the real AWS would not have given."""
        return list(self.control("drift"))

    def keep(self) -> None:
        """Let the simulated AWS run after this process ends. From then on, its user may read everything."""
        self.limit_caller(EVERYTHING)
        write_note(self.folder, self.pid)
        assert self._process.stdin is not None
        self._process.stdin.write(KEEP)
        self._process.stdin.close()
        self.is_kept = True

    def end(self) -> None:
        """End the simulated AWS with everything that it has started, and wait until its folder is removed."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its reaper ends the rest, and removes the folder
            self._process.wait()


def require_simulator() -> None:
    """Raise MlopsError unless the packages of the simulated AWS are installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise MlopsError(
            f"A rehearsal needs the simulated AWS, which is not installed: {', '.join(missing)}.",
            f"Install it: {install_command('rehearse')}",
        )


@contextmanager
def simulated_aws() -> Iterator[SimulatedAws]:
    """Provide a simulated AWS. End it after the block unless it is kept.

    Its process holds its folder, and removes it even if this process is killed.
    """
    aws = _start(Path(tempfile.mkdtemp(prefix="mlops-rehearsal-")).resolve())
    try:
        yield aws
    finally:
        if not aws.is_kept:
            aws.end()


def _start(folder: Path) -> SimulatedAws:
    log = folder / "simulator.log"
    options = {
        "--folder": folder,
        "--locks": Path(locks.__file__).parent,
        "--endpoint-server": "mlops_cli.rehearsal.model_server:ModelServer",
    }
    command = [sys.executable, "-m", "aws_simulator", "--leashed", "--remove-folder", "--own-user"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, *(str(word) for option in options.items() for word in option)],
            cwd=Path(mlops_cli.__file__).parents[1],
            env=local_environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
    except KeyboardInterrupt:
        SimulatedAws("", folder, process).end()
        raise
    if not line:
        text = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        SimulatedAws("", folder, process).end()
        raise MlopsError(
            f"The simulated AWS did not start: {' '.join(text) or 'it ended at once'}.",
            f"Install it again: {install_command('rehearse')}",
        )
    return SimulatedAws(json.loads(line)["url"], folder, process)
