"""A project on this machine without real stages or server. A run takes milliseconds; its record is real.

A file of the project names the served model, so that it remains after a killed command, as with the real server.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlops_cli.backends.local.backend import LocalBackend
from mlops_cli.backends.local.infra.deploy import deploy_infra
from mlops_cli.core.engine import StageFailed, StageResult
from mlops_cli.core.jobs.script_job import parse_json_output
from mlops_cli.core.models.model_versions import ModelVersion
from mlops_cli.core.runs import Run, RunRequest, StageRun
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_folder, stat_digest
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.data_request import data_request
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.serving.client import Response
from mlops_cli.serving.control import EndpointStatus, ServerState
from tests.conftest import USE_CASES

NAME = "tiny"


class Silent:
    def stage_changed(self, run: Run, stage: StageRun) -> None: ...

    def progress(self, stage: str, done: int, total: int, message: str) -> None: ...


class Server:
    """Replaces the endpoint. ``is_down``: as if its process had died."""

    host, hosts, port, sample, batching, name = "127.0.0.1", (), 8080, 0.0, False, NAME
    invocations_url = "http://x"

    def __init__(self, folder: Path) -> None:
        self.file = folder / "served.json"
        self.is_down = False
        self.refuses = False

    def _noted(self) -> dict[str, str]:
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def status(self) -> EndpointStatus:
        noted = self._noted()
        state = ServerState.ABSENT if not noted else ServerState.FAILED if self.is_down else ServerState.IN_SERVICE
        digest = noted["digest"] if state is ServerState.IN_SERVICE else None
        return EndpointStatus(NAME, state, "http://x", None, digest, noted.get("since"), "", self.file)

    def deploy(self, model: Path, digest: str, timeout: float, framework: str = "") -> EndpointStatus:
        assert sha256(model.read_bytes()).hexdigest() == digest
        if self.refuses:
            raise StageFailed("The server died while it was starting.", "")
        if self.is_down or self._noted().get("digest") != digest:
            self.file.parent.mkdir(exist_ok=True)
            draft = self.file.with_suffix(".new")
            draft.write_text(json.dumps({"digest": digest, "since": os.urandom(4).hex()}))
            draft.replace(self.file)
        self.is_down = False
        return self.status()

    def invoke(self, body: bytes, content_type: str) -> Response:
        raise AssertionError("nobody is asked")


@dataclass
class Stages:
    """Replaces scripts and gates. The gate on the endpoint fails for the models in ``bad``."""

    project: Project
    metrics: str = '{"metrics": {"test": {"macro": {"roc_auc": QUALITY}}}}'
    bad: set[str] = field(default_factory=set)

    def job(self, stage: Stage, run: Run, inputs: dict[str, str], *_: object) -> StageResult:
        folder = self.project.artifacts / stage.name / run.stage(stage.name).key[:16]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        content = f"{stage.name} {sorted(inputs.items())}".encode()
        (folder / "model.tar.gz").write_bytes(content)
        quality = min(0.4 + 0.2 * float(inputs.get("epochs", 1)), 0.99)
        detail = parse_json_output(self.metrics.replace("QUALITY", str(quality))) if stage.kind is Kind.TRAINING else {}
        detail = {**detail, "files": stat_digest(folder), "content": digest_folder(folder)}
        return StageResult(sha256(content).hexdigest(), str(folder.relative_to(self.project.state)), detail)

    def reads(self, run_id: str, stage: str) -> Path:
        """Return the file for a stage's reads; these stages read nothing."""
        return self.project.runs / run_id / f"{stage}.reads"

    def gate(self, stage: Stage, run: Run, variables: dict[str, str], view: object) -> StageResult:
        if variables.get("MLOPS_MODEL_DIGEST") in self.bad:
            raise StageFailed("The gate failed: it is no good.", "", {"passed": 0, "failed": 1})
        return StageResult(run.stage(stage.name).key, detail={"passed": 1, "failed": 0})


class Scenario:
    """One project. ``backend`` is a new one for each command, as for a user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = Project(folder)
        self.server = Server(self.project.endpoint)
        self.stages = Stages(self.project)

    def make(self) -> Scenario:
        shutil.copytree(USE_CASES / "tiny" / "training", self.project.training)
        data = self.folder / "data.csv"
        data.write_text("id,text,long\n" + "".join(f"{n},text {n},{n % 2}\n" for n in range(9)))
        deploy_infra(self.project)
        backend = self.backend
        backend.data.download(data_request(backend.services.use_case, [str(data)]), lambda *_: None)
        return self

    @property
    def backend(self) -> LocalBackend:
        use_case = load_use_case(self.project.training / "usecase.toml")
        backend: Any = LocalBackend(self.project, use_case, resolve({}, {}, {}))
        backend.services.server = self.server
        backend.services.executor.__dict__["job_runner"] = self.stages
        checked: LocalBackend = backend
        return checked

    def copy(self, folder: Path) -> Scenario:
        shutil.copytree(self.folder, folder)
        other_ground = Scenario(folder)
        other_ground.stages.bad = self.stages.bad
        return other_ground

    def limit(self, floor: str) -> None:
        file = self.project.training / "usecase.toml"
        before, _, after = file.read_text().partition("[metrics.minimum.macro]\nroc_auc = ")
        file.write_text(f"{before}[metrics.minimum.macro]\nroc_auc = {floor}\n{after.partition(chr(10))[2]}")

    def run(self, epochs: int = 1, **request: Any) -> Run:
        return self.backend.runs.start(RunRequest({"epochs": str(epochs)}, **request), Silent())[0]

    def approve(self, run: Run, comment: str = "", approved: bool = True) -> Run:
        return self.backend.approvals.approve(run, approved, comment, Silent())

    def live(self, epochs: int = 1) -> Run:
        """Return a model that was trained and approved."""
        return self.approve(self.run(epochs))

    def rollback(self, version: str = "", comment: str = "") -> Run:
        return self.backend.models.rollback(version, comment, Silent())

    def stage(self, name: str, run: Run) -> Run:
        return self.backend.stages.run_stage(run.id, name, Silent())

    def version(self, name: str) -> ModelVersion:
        return next(version for version in self.backend.models.list_versions() if version.name == name)

    @property
    def served(self) -> str:
        """Return the version that the endpoint serves."""
        digest = self.server._noted().get("digest")
        return next((version.name for version in self.backend.models.list_versions() if version.digest == digest), "")

    @property
    def record(self) -> dict[str, Any]:
        """Return all results: versions, decisions, the deployed model, the runs' statuses."""
        models = self.backend.models.list_versions()
        return {
            "served": self.served,
            "deployed": [model.name for model in models if model.is_deployed],
            "approved": {model.name: model.approved for model in models},
            "runs": [run.status.value for run in self.backend.runs.list_runs()],
        }


def killed_at(call: int, command: Callable[[], object]) -> bool:
    """Run a command in a process that is killed at its n-th change of a file. Return False if it ended before."""
    child = os.fork()
    if not child:
        _at_change(call, lambda: os.kill(os.getpid(), signal.SIGKILL))
        try:
            command()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


NOT_FULL, DONE_ALL_THE_SAME, REFUSED, FAULT, UNREADABLE = 0, 1, 2, 3, 4


def full_at(call: int, command: Callable[[], object], reading: Callable[[], object]) -> int:
    """Run a command in a process whose disk is full from its n-th change of a file on. Then read."""
    child = os.fork()
    if not child:
        end, reached = FAULT, []

        def fill() -> None:
            reached.append(True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

        _at_change(call, fill)
        try:
            try:
                command()
                end = DONE_ALL_THE_SAME if reached else NOT_FULL
            except (MlopsError, OSError):
                end = REFUSED
            if reached:
                end, after = UNREADABLE, end
                reading()
                end = after
        finally:
            os._exit(end)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _at_change(call: int, act: Callable[[], object]) -> None:
    count = 0

    def due() -> None:
        nonlocal count
        count += 1
        if count == call:
            act()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"):
            due()

    class Connection(sqlite3.Connection):
        """A connection that can be interrupted before a transaction is on disk, and right after."""

        def __exit__(self, *arguments: Any) -> Any:
            due()
            result = super().__exit__(*arguments)
            due()
            return result

    real = sqlite3.connect
    sqlite3.connect = lambda *arguments, **options: real(*arguments, **options, factory=Connection)  # type: ignore[assignment]
    sys.addaudithook(hook)
