"""Shared parts of the local target: the project's lock, processes, run store and model server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.backends.local.infra.deploy import is_set_up, require_infra
from mlops_cli.backends.local.runs.selection import with_actual_status
from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.backends.local.stages.executor import LocalStageExecutor
from mlops_cli.core.models.decision import Actor, person
from mlops_cli.core.runs import Run, find_run
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.environment import claimed_names
from mlops_cli.project.git.commands import author
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.catalog import host_names
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.serving.control import EndpointStatus, LocalEndpoint

if TYPE_CHECKING:
    from mlops_cli.backends.local.stages.approval_evidence import ApprovalEvidence
    from mlops_cli.backends.model_evaluation import RenderReport
    from mlops_cli.core.models.model_versions import ModelVersion


class OpenStore:
    """The objects that share one connection to the run store, each created on first use."""

    def __init__(self, services: LocalServices) -> None:
        self._services = services

    @cached_property
    def store(self) -> RunStore:
        require_infra(self._services.project)
        return RunStore(self._services.project.database, create=False)

    @cached_property
    def executor(self) -> LocalStageExecutor:
        services = self._services
        return LocalStageExecutor(
            services.project, services.use_case, self.store, services.server, services.children, self._shortfalls
        )

    def _shortfalls(self, run: Run, against_live: bool = True) -> list[str]:
        return self.approval_evidence.shortfalls(run, against_live)

    @cached_property
    def approval_evidence(self) -> ApprovalEvidence:
        from mlops_cli.backends.local.stages.approval_evidence import ApprovalEvidence

        services = self._services
        return ApprovalEvidence(
            services.project, services.use_case, self.store, services.server, services.render_report
        )


class LocalServices:
    def __init__(self, project: Project, use_case: UseCase, settings: Settings, render_report: RenderReport) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.render_report = render_report
        self.lock = ProjectLock(project.state / "lock")
        self.children = JobProcesses(project.state / "children")
        self.server_processes = LocalServerProcesses(project.endpoint)
        self.server = LocalEndpoint(
            project.endpoint,
            settings.endpoint_name(use_case.name),
            self.server_processes,
            settings["ENDPOINT_HOST"],
            int(settings["ENDPOINT_PORT"]),
            sample=use_case.sample,
            batching=use_case.batching,
            examples=use_case.example_request,
            hosts=host_names(settings["ENDPOINT_HOSTS"]),
        )
        self._open_store = OpenStore(self)

    @property
    def store(self) -> RunStore:
        return self._open_store.store

    @property
    def executor(self) -> LocalStageExecutor:
        return self._open_store.executor

    @property
    def approval_evidence(self) -> ApprovalEvidence:
        return self._open_store.approval_evidence

    def close_store(self) -> None:
        """Close the store, because an SQLite connection must not cross a fork. The next use opens it again."""
        self._open_store.store.close()
        self._open_store = OpenStore(self)

    @contextmanager
    def hold(self, command: str) -> Iterator[None]:
        """Hold the project's lock, and end orphaned processes of killed commands. The project may be gone by then."""
        require_infra(self.project)
        with self.lock.held(command):
            require_infra(self.project)
            self.executor.kill_orphans()
            yield

    def caller(self) -> Actor:
        """Return the person who runs the command, as far as this machine knows."""
        return person(*claimed_names(), author(self.project.root))

    def get_run(self, prefix: str = "") -> Run:
        return find_run(self.list_runs(), prefix)

    def list_runs(self) -> list[Run]:
        if not is_set_up(self.project):
            return []
        holder = self.lock.holder()
        live = holder.run_id if holder else ""
        return [with_actual_status(run, run.id == live, self.run_log(run)) for run in self.store.runs()]

    def run_log(self, run: Run) -> Path:
        """Return the path of a background run's own log."""
        return self.project.runs / run.id / "run.log"

    def models(self, status: EndpointStatus | None = None) -> list[ModelVersion]:
        from mlops_cli.core.models.model_versions import versions_of

        if not is_set_up(self.project):
            return []
        status = status or self.server.status()
        return versions_of(self.list_runs(), self.store.decisions(), status.model_digest or "")
