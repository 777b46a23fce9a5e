"""The runs of this machine: started in this process or in the background, followed, stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.backends.base import Runs, StageRunner
from mlops_cli.backends.local.infra.deploy import ensure_infra
from mlops_cli.backends.local.runs.selection import RunSelection, check_ready, finish_single_stage, select_run
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.caching.inputs import no_dataset_error
from mlops_cli.caching.key import check_sources
from mlops_cli.core.costs import CostCheck, no_cost_check
from mlops_cli.core.engine import RunView, run_or_reuse_stage
from mlops_cli.core.runs import Run, RunRequest, Status
from mlops_cli.core.stages import STAGES, position, stage_named
from mlops_cli.data.metadata import load
from mlops_cli.processes.project_lock import acquire_by_force
from mlops_cli.project.state_dir import check_no_links
from mlops_cli.project.usecase.overrides import full_names
from mlops_cli.tracking import track

if TYPE_CHECKING:
    from mlops_cli.backends.local.runs.execution import RunExecution


class LocalRuns(Runs):
    """``execution`` is created only when a stage has to run: most runs find that nothing has changed."""

    def __init__(self, services: LocalServices, execution: Callable[[], RunExecution]) -> None:
        self._services = services
        self._execution = execution

    def start(
        self,
        request: RunRequest,
        view: RunView,
        consent: CostCheck = no_cost_check,  # noqa: ARG002 (the local target costs nothing)
    ) -> tuple[Run, bool]:
        services, request = self._services, self._checked_request(request)
        with services.hold("run"):
            imports, shared = services.store.known_imports(), services.use_case.passed.code
            check_sources(services.project.training, request.from_stage, imports, shared)
            choice = select_run(request, services.store, services.executor)
            if not choice.fresh:
                return choice.run, False
            services.lock.write_holder("run", choice.run.id)
            if services.executor.saved_environment(choice.run) is None:
                services.executor.save_environment(choice.run)
            if request.detach:
                return self._run_in_background(choice), True
            return self._execution().run_stages(choice.run, view, choice.start), True

    def own_files(self, run: Run, scratch: Path) -> Path | None:  # noqa: ARG002 (the files are here)
        from mlops_cli.backends.model_evaluation import FILES

        folder = self._services.project.state / run.training.artifact / "output" / FILES
        return folder if run.training.artifact and folder.is_dir() else None

    def _checked_request(self, request: RunRequest) -> RunRequest:
        """Return the request with full names. Raise MlopsError for an invalid request before anything is started."""
        project, use_case = self._services.project, self._services.use_case
        request = replace(request, overrides=full_names(use_case, request.overrides))
        if request.from_stage:
            position(request.from_stage)
        check_no_links(project)
        if load(project.data) is None:
            raise no_dataset_error(use_case)
        ensure_infra(project, use_case.framework)
        return request

    def _run_in_background(self, choice: RunSelection) -> Run:
        """Continue in a forked child, which shares the lock."""
        from mlops_cli.backends.local.runs.background_run import LogView, detach, finish_background_run

        services, run = self._services, choice.run
        services.store.save(run)
        services.close_store()
        if detach(services.run_log(run)):
            services.lock.write_holder("run --detach", run.id)
            finish_background_run(lambda: self._run_and_track(run, LogView(), choice.start))
        return run

    def _run_and_track(self, run: Run, view: RunView, start: str) -> None:
        """Run the stages and log the run to MLflow, since a background run has no command to do it at the end."""
        try:
            self._execution().run_stages(run, view, start)
        finally:
            track(run, self, self._services.settings, self._services.use_case, print)

    def get(self, prefix: str = "") -> Run:
        return self._services.get_run(prefix)

    def list_runs(self) -> list[Run]:
        return self._services.list_runs()

    def follow(self, run: Run, view: RunView) -> Run:
        from mlops_cli.backends.local.runs.logs import POLL_SECONDS, LogFollower
        from mlops_cli.backends.run_follower import PollInterval, follow

        tails = LogFollower(self._services.project.state)
        return follow(lambda: self.get(run.id), tails.read, view, PollInterval(POLL_SECONDS, POLL_SECONDS))

    def stop(self, run: Run) -> Run:
        lock = self._services.lock
        holder = lock.holder()
        if holder is None:
            with self._services.hold("stop"):  # it ends what a killed command has left
                return self.get(run.id)
        if holder.run_id == run.id:
            acquire_by_force(lock, "stop")
            try:
                self._services.executor.kill_orphans()
            finally:
                lock.release()
        return self.get(run.id)

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        from mlops_cli.backends.local.runs.logs import log_file, tail

        path = log_file(self._services.project.state, run, run.stage(stage))

        def ended() -> bool:
            return not follow or self.get(run.id).stage(stage).status is not Status.RUNNING

        return tail(path, ended)


class LocalStages(StageRunner):
    def __init__(self, services: LocalServices) -> None:
        self._services = services

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        services = self._services
        with services.hold("stage"):
            run = services.get_run(run_id)
            check_ready(run, stage_named(stage))
            services.lock.write_holder("stage", run.id)
            run_or_reuse_stage(stage_named(stage), run, services.executor, view, STAGES)
            finish_single_stage(run, services.store)
            return run
