"""The runs on AWS: executions of the pipeline that a command starts and follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mlops_cli.backends.aws.clients.pricing import Prices
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.infra import image_registry
from mlops_cli.backends.aws.models.rollback import AwsModels
from mlops_cli.backends.aws.runs.build_limit import build_minutes
from mlops_cli.backends.aws.runs.cost_estimate import LOGGED, STORED, VOLUMES, Estimate, recent_durations, with_prices
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.backends.aws.stages.approval_report import ENVIRONMENT, key_of
from mlops_cli.backends.aws.stages.jobs.job_outputs import own_files
from mlops_cli.backends.base import Runs
from mlops_cli.backends.model_evaluation import FILES, LARGEST_FILE, MOST_FILES
from mlops_cli.core.costs import CostCheck, Costs, no_cost_check
from mlops_cli.core.engine import RunView
from mlops_cli.core.runs import Run, RunRequest
from mlops_cli.core.stages import DEPLOYMENT
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.project.environment_info import environment_info


class PipelineRuns(Runs):
    """``prepare``: see ``prepare_start``."""

    def __init__(
        self, deployed: DeployedProject, models: AwsModels, prepare: Callable[[RunRequest], StartRequest]
    ) -> None:
        self._deployed = deployed
        self._models = models
        self._prepare = prepare

    def start(self, request: RunRequest, view: RunView, consent: CostCheck = no_cost_check) -> tuple[Run, bool]:
        """Start or continue a run. The bool is False if nothing changed or an equal run waits for approval.

        An unfinished rollback is completed first, unless the request names a stage.
        """
        self._deployed.require_owner()
        services = self._deployed.services
        try:
            start_request, rollback_runs = self._prepare(request), self._models.rollback_runs
            unfinished = None if request.from_stage else rollback_runs.interrupted()
            if unfinished:
                consent(self._costs(RunRequest(from_stage=DEPLOYMENT.name)))
                run_id, fresh = rollback_runs.resume(unfinished.run), True
            else:
                run_id, fresh = services.starter.start(start_request, lambda: consent(self._costs(request)))
        except KeyboardInterrupt:
            raise MlopsError(
                "Stopped while a run was being started.", "Check: mlops status", EXIT_INTERRUPTED
            ) from None
        if fresh:
            self._save_environment(run_id)
        if not fresh or request.detach:
            return self._cached(services.runs.refresh(run_id)), fresh
        run = self._cached(services.runs.follow(run_id, view, ours=True))
        return self._models.require_success(run, view), True

    def own_files(self, run: Run, scratch: Path) -> Path | None:
        """Write the training's own files into a folder and return it.

        Files that are too large to read at once are left out.
        """
        if not run.training.artifact:
            return None
        listed = own_files(self._deployed.bucket, run.training, FILES, MOST_FILES, LARGEST_FILE)
        files = {name: content for name, content in listed.items() if content is not None}
        for name, content in files.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(content)
        return scratch if files else None

    def _costs(self, request: RunRequest) -> Costs:
        """Return the costs of the run and of the endpoint: after an approval no second question about costs follows."""
        deployed = self._deployed
        estimate = Estimate(deployed.machines, build_minutes(deployed.use_case.time_limits))
        durations = recent_durations(deployed.services.pipeline, deployed.services.run_store)
        items = [*estimate.run(durations, request.from_stage), *estimate.endpoint()]
        by_use = (*estimate.by_use, VOLUMES, STORED, LOGGED, *image_registry.by_use(deployed.settings))
        return with_prices(items, Prices(deployed.account, deployed.project), by_use)

    def _save_environment(self, run_id: str) -> None:
        """Save what the pipeline lacks: the commit of the project's files, and the differences from that commit."""
        bucket, key = self._deployed.bucket, key_of(run_id, ENVIRONMENT)
        if not bucket.exists(key):
            bucket.put_json(key, {"git": environment_info(self._deployed.project.root)["git"]})

    def get(self, prefix: str = "") -> Run:
        return self._cached(self._deployed.services.runs.get(prefix))

    def list_runs(self) -> list[Run]:
        runs = self._deployed.services.runs.list_runs()
        self._deployed.completion_cache.save_runs(runs)
        return runs

    def follow(self, run: Run, view: RunView) -> Run:
        return self._cached(self._deployed.services.runs.follow(run.id, view))

    def stop(self, run: Run) -> Run:
        self._deployed.require_owner()
        return self._cached(self._deployed.services.stopper.stop(run.id))

    def _cached(self, run: Run) -> Run:
        self._deployed.completion_cache.save_run(run)
        return run

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        return self._deployed.services.runs.read_log(run, stage, follow)
