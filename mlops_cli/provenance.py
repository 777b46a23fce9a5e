"""What a run was made from and where, and whether running it again gave the same. No IO but git's and the machine's."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops_cli.digest import digest_bytes
from mlops_cli.errors import MlopsError
from mlops_cli.git import git
from mlops_cli.runs import Run, StageRun

REPRODUCED = ("preprocess", "train")


def surroundings(root: Path) -> dict[str, Any]:
    """The commit that the project's files were at and the digest of what differed from it; the machine."""
    return {"git": _git_state(root), "machine": machine()}


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"system": platform.platform(), "processor": platform.machine(), "cpus": os.cpu_count(), "bytes": memory}


def _git_state(root: Path) -> dict[str, Any] | None:
    """None where there is no git, no repository, or no commit yet."""
    try:
        commit = git(root, "rev-parse", "HEAD").decode().strip()
        changed = git(root, "diff", "HEAD", "--binary", "--", ".")
        untracked = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    except MlopsError:
        return None
    dirty = bool(changed or untracked)
    return {"commit": commit, "dirty": dirty, "diff_sha256": digest_bytes(changed) if changed else ""}


def manifest(run: Run, where: Mapping[str, Any]) -> dict[str, Any]:
    """All that is needed to make a run again; code, data, packages and hyperparameters are its stages' ingredients."""
    stages = {stage.name: {"ingredients": stage.ingredients, "output": stage.output} for stage in run.stages}
    return {"run": run.id, "created_at": run.created_at, "overrides": run.overrides, **where, "stages": stages}


def check_trained(run: Run) -> None:
    """Raises MlopsError when a run has nothing that could be made again."""
    if not run.stage("train").status.settled:
        raise MlopsError(f"Run {run.id} has trained no model that could be made again.", "See the runs: mlops runs")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was; ``name`` says of what."""

    name: str
    before: Any
    now: Any


@dataclass(frozen=True)
class StageComparison:
    """A stage of a run beside the same stage run again."""

    name: str
    ingredients: tuple[Difference, ...]
    before: str
    now: str

    @property
    def same(self) -> bool:
        return self.before == self.now


@dataclass(frozen=True)
class Reproduction:
    run_id: str
    stages: tuple[StageComparison, ...]
    metrics: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        return all(stage.same for stage in self.stages) and not self.metrics

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "same": self.same}


def compare(before: Run, now: Run, split: str = "") -> Reproduction:
    """What differs between a run and its repetition: what went in, what came out, how good it is.

    Of what the training measured only ``split`` counts, if there is such a one: the rest may be how long it took.
    """
    pairs = [(before.stage(name), now.stage(name)) for name in REPRODUCED]
    stages = tuple(
        StageComparison(old.name, tuple(_differences(*_went_in(old, new))), old.output, new.output)
        for old, new in pairs
    )
    old, new = pairs[-1]
    metrics = _differences(_measured(old, split), _measured(new, split))
    return Reproduction(before.id, stages, tuple(metrics))


def _measured(stage: StageRun, split: str) -> dict[str, Any]:
    found = stage.detail.get("metrics", {})
    return flat({split: found[split]} if split in found else found)


def _went_in(before: StageRun, now: StageRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ingredients of both, with the machines where both are on record: other machines round otherwise."""
    machines = [flat(stage.detail.get("machine", {}), "machine") for stage in (before, now)]
    known = [one if all("machine" in stage.detail for stage in (before, now)) else {} for one in machines]
    return {**before.ingredients, **known[0]}, {**now.ingredients, **known[1]}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield Difference(name, before.get(name), now.get(name))


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with the names joined by spaces."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        name: value for key, below in tree.items() for name, value in flat(below, f"{prefix} {key}".strip()).items()
    }
