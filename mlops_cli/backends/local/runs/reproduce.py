"""Run the stages of a run again with the same code, in a scratch folder, without reusing earlier results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_cli.backends.base import Reproductions
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.backends.local.stages.executor import LocalStageExecutor
from mlops_cli.core.engine import RunView, run_or_reuse_stage
from mlops_cli.core.models.reproducibility import REPRODUCED, Reproduction, check_trained, compare, manifest
from mlops_cli.core.runs import Run, StageRun, new_run
from mlops_cli.core.stages import STAGES, Stage, stage_named
from mlops_cli.files.atomic import remove_tree
from mlops_cli.project.paths import Project


class LocalReproductions(Reproductions):
    def __init__(self, services: LocalServices) -> None:
        self._services = services

    def manifest(self, run: Run) -> dict[str, Any]:
        return manifest(run, self._services.executor.saved_environment(run) or {})

    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        check_trained(run)
        with self._services.hold("reproduce"):
            return _reproduce(run, self._services.executor, view)


@dataclass(frozen=True)
class ScratchProject(Project):
    """The same project with the same data, but with artifacts and logs of its own."""

    @property
    def state(self) -> Path:
        return super().state / "reproduction"

    @property
    def data(self) -> Path:
        return super().state / "data"


class ReproduceExecutor(LocalStageExecutor):
    """Executes every stage, compares its cache inputs with the original run's, and records nothing."""

    original: Run

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:  # noqa: ARG002
        return None

    def previous(self, stage: Stage) -> StageRun | None:
        return self.original.stage(stage.name)

    def save(self, run: Run) -> None:
        """Record nothing: a reproduction is not a run of the project."""


def _reproduce(original: Run, executor: LocalStageExecutor, view: RunView) -> Reproduction:
    """Train the run's model again and compare. If a script fails, the folder with its log is kept."""
    scratch_project = ScratchProject(executor.project.root)
    remove_tree(scratch_project.state)
    repeating = ReproduceExecutor(
        scratch_project, executor.use_case, executor.store, executor.endpoint, executor.children, executor.shortfalls
    )
    repeating.original = original
    run = new_run(f"{original.id} again", original.overrides, REPRODUCED[0])
    for name in REPRODUCED:
        run_or_reuse_stage(stage_named(name), run, repeating, view, STAGES)
    remove_tree(scratch_project.state)
    return compare(original, run, executor.use_case.metrics.split)
