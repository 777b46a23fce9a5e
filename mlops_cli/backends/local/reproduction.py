"""A run made again beside the others: same code path, a folder of its own, nothing taken from earlier runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.backends.local.workbench import LocalWorkbench
from mlops_cli.lifecycle import RunView, settle
from mlops_cli.project import Project
from mlops_cli.provenance import REPRODUCED, Reproduction, compare
from mlops_cli.runs import Run, StageRun, new_run
from mlops_cli.stages import STAGES, Stage, stage_named


@dataclass(frozen=True)
class Aside(Project):
    """The same project with the same data, whose artifacts and logs lie apart."""

    @property
    def state(self) -> Path:
        return super().state / "reproduction"

    @property
    def data(self) -> Path:
        return super().state / "data"


class RepeatingWorkbench(LocalWorkbench):
    """Executes every stage, compares its ingredients with those of the run that is repeated, records nothing."""

    original: Run

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:  # noqa: ARG002
        return None

    def previous(self, stage: Stage) -> StageRun | None:
        return self.original.stage(stage.name)

    def save(self, run: Run) -> None:
        """The repetition is no run of the project."""


def reproduce(original: Run, bench: LocalWorkbench, view: RunView) -> Reproduction:
    """Run the stages that make the model again, and compare. The folder stays when a script fails: its log is there."""
    aside = Aside(bench.project.root)
    shutil.rmtree(aside.state, ignore_errors=True)
    again = RepeatingWorkbench(aside, bench.use_case, bench.store, bench.endpoint, bench.children)
    again.original = original
    run = new_run(f"{original.id} again", original.overrides, REPRODUCED[0])
    for name in REPRODUCED:
        settle(stage_named(name), run, again, view, STAGES)
    shutil.rmtree(aside.state)
    return compare(original, run, bench.use_case.metrics.split)
