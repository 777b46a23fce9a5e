"""What a run was made from and where, and whether running it again gave the same. No IO but git's and the machine's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlops_cli.core.runs import Run, StageRun
from mlops_cli.errors import MlopsError

REPRODUCED = ("preprocess", "train")


def manifest(run: Run, where: Mapping[str, Any]) -> dict[str, Any]:
    """All that is needed to make a run again; code, data, packages and hyperparameters are its stages' ingredients."""
    stages = {stage.name: {"ingredients": stage.ingredients, "output": stage.output} for stage in run.stages}
    return {"run": run.id, "created_at": run.created_at, "overrides": run.overrides, **where, "stages": stages}


def check_trained(run: Run) -> None:
    """Raises MlopsError when a run has nothing that could be made again."""
    if not run.stage("train").status.has_output:
        raise MlopsError(f"Run {run.id} has trained no model that could be made again.", "See the runs: mlops runs")


@dataclass(frozen=True)
class InputChange:
    """One thing that is not as it was; ``name`` says of what."""

    name: str
    before: Any
    now: Any


@dataclass(frozen=True)
class StageComparison:
    """A stage of a run beside the same stage run again."""

    name: str
    ingredients: tuple[InputChange, ...]
    before: str
    now: str

    @property
    def same(self) -> bool:
        return self.before == self.now


@dataclass(frozen=True)
class Reproduction:
    run_id: str
    stages: tuple[StageComparison, ...]
    metrics: tuple[InputChange, ...]

    @property
    def same(self) -> bool:
        return all(stage.same for stage in self.stages) and not self.metrics

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "same": self.same}


def compare(before: Run, after: Run, split: str = "") -> Reproduction:
    """What differs between a run and its repetition: what went in, what came out, how good it is.

    Of what the training measured only ``split`` counts, if there is such a one: the rest may be how long it took.
    """
    pairs = [(before.stage(name), after.stage(name)) for name in REPRODUCED]
    stages = tuple(
        StageComparison(old.name, tuple(_changes(*_stage_inputs(old, new))), old.output, new.output)
        for old, new in pairs
    )
    old, new = pairs[-1]
    metrics = _changes(_stage_metrics(old, split), _stage_metrics(new, split))
    return Reproduction(before.id, stages, tuple(metrics))


def _stage_metrics(stage: StageRun, split: str) -> dict[str, Any]:
    metrics = stage.detail.get("metrics", {})
    return flatten({split: metrics[split]} if split in metrics else metrics)


def _stage_inputs(before: StageRun, after: StageRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ingredients of both, with the machines where both are on record: other machines round otherwise."""
    machines = [flatten(stage.detail.get("machine", {}), "machine") for stage in (before, after)]
    recorded = [
        machine_values if all("machine" in stage.detail for stage in (before, after)) else {}
        for machine_values in machines
    ]
    return {**before.ingredients, **recorded[0]}, {**after.ingredients, **recorded[1]}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[InputChange]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield InputChange(name, before.get(name), after.get(name))


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with the names joined by spaces."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        name: value for key, below in tree.items() for name, value in flatten(below, f"{prefix} {key}".strip()).items()
    }
