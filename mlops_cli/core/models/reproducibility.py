"""The inputs of a run, and the comparison with its reproduction. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.stages import JOBS
from mlops_cli.errors import MlopsError

REPRODUCED = tuple(stage.name for stage in JOBS)


def manifest(run: Run, where: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a reproduction needs. The cache inputs have code, data, packages and hyperparameters."""
    stages = {stage.name: {"cache_inputs": stage.cache_inputs, "output": stage.output} for stage in run.stages}
    return {"run": run.id, "created_at": run.created_at, "overrides": run.overrides, **where, "stages": stages}


def check_trained(run: Run) -> None:
    """Raise MlopsError for a run without a trained model."""
    if not run.training.status.has_output:
        raise MlopsError(f"Run {run.id} has no trained model to reproduce.", "List the runs: mlops runs")


@dataclass(frozen=True)
class InputChange:
    """One changed input, by ``name``."""

    name: str
    before: Any
    now: Any


@dataclass(frozen=True)
class StageComparison:
    """A stage of a run and of its reproduction."""

    name: str
    input_changes: tuple[InputChange, ...]
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
    """Return the differences between a run and its reproduction: inputs, outputs, metrics.

    If metrics.json has ``split``, only its metrics count: other values may be durations.
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
    """Return the cache inputs of both. Include the machines if both are known: they may round differently."""
    machines = [flatten(stage.detail.get("machine", {}), "machine") for stage in (before, after)]
    recorded = [
        machine_values if all("machine" in stage.detail for stage in (before, after)) else {}
        for machine_values in machines
    ]
    return {**before.cache_inputs, **recorded[0]}, {**after.cache_inputs, **recorded[1]}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[InputChange]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield InputChange(name, before.get(name), after.get(name))


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with the names joined by spaces."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        name: value for key, below in tree.items() for name, value in flatten(below, f"{prefix} {key}".strip()).items()
    }
