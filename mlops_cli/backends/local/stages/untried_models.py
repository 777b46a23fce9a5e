"""Trained models that have not passed their trial: the next run tries them again, without a training.

Handlers that were changed since replace those in the model package.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlops_cli.backends.local.stages.packed_code import changed_files, repack
from mlops_cli.caching.reads import Reads
from mlops_cli.core.cache_inputs import READ
from mlops_cli.core.engine import StageResult, is_forced
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import Stage
from mlops_cli.files.atomic import read_json, remove_tree, write_atomically
from mlops_cli.files.hashing import digest_folder
from mlops_cli.project.paths import Project

# [model] in usecase.toml: it chooses the runtime of the trial, and no training on one machine knows it.
MODEL = "model."


@dataclass(frozen=True)
class Trained:
    """The output of a training in ``folder``; ``run_id`` is the run that trained."""

    folder: Path
    outcome: StageResult
    run_id: str


@dataclass(frozen=True)
class UntriedModels:
    """The last training's output in ``.untried/output``, with a record, and the notes of what it has read."""

    project: Project
    reads: Reads

    def folder(self, stage: Stage) -> Path:
        return self.project.artifacts / stage.name / ".untried"

    def keep(self, draft: Path, stage: Stage, run: Run, outcome: StageResult, since_ns: int, log: Path) -> Trained:
        """Move the output of a training that began at ``since_ns``; ``log`` has the notes of its reads."""
        folder = self.folder(stage)
        remove_tree(folder)
        folder.mkdir(parents=True)
        if log.is_file():
            shutil.copyfile(log, folder / "reads")
        inputs = _known_inputs(stage, run)
        record = {"run": run.id, "since_ns": since_ns, "detail": outcome.detail, "output": outcome.output}
        content = digest_folder(draft)
        write_atomically(folder / "record.json", json.dumps({**record, "inputs": inputs, "content": content}))
        draft.rename(folder / "output")
        return Trained(folder / "output", outcome, run.id)

    def restore(self, draft: Path, stage: Stage, run: Run, log: Path) -> Trained | None:
        """Return the kept output, with the present handlers; None if the run has to train.

        ``draft`` is an empty folder for another model package; the notes of the reads are copied to ``log``.
        """
        folder, inputs = self.folder(stage), _known_inputs(stage, run)
        record, reads = read_json(folder / "record.json"), folder / "reads"
        is_others = record is not None and is_forced(stage, run) and record["run"] != run.id
        if record is None or is_others or not reads.is_file():
            return None
        if self.reads.have_changed(reads, record["since_ns"], inputs):
            return None
        trained = self._published(stage, record, inputs) or self._with_present_code(stage, draft, record, inputs)
        if trained is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(reads, log)
        return trained

    def publish(self, trained: Trained, target: Path, stage: Stage, run: Run) -> None:
        """Move the output of a model that has passed its trial to its place among the artifacts.

        A run that is killed before it has recorded the end of the stage uses the output again.
        """
        file = self.folder(stage) / "record.json"
        published = {
            "name": target.name,
            "output": trained.outcome.output,
            "inputs": _known_inputs(stage, run),
            "content": digest_folder(trained.folder),
        }
        write_atomically(file, json.dumps({**(read_json(file) or {}), "published": published}))
        if trained.folder != target:
            remove_tree(target)
            trained.folder.rename(target)
        remove_tree(self.folder(stage) / "output")

    def _published(self, stage: Stage, record: Mapping[str, Any], inputs: Mapping[str, str]) -> Trained | None:
        published = record.get("published")
        if not published or published["inputs"] != inputs:
            return None
        folder = self.project.artifacts / stage.name / published["name"]
        return _trained(folder, record, published)

    def _with_present_code(
        self, stage: Stage, draft: Path, record: Mapping[str, Any], inputs: Mapping[str, str]
    ) -> Trained | None:
        folder = self.folder(stage)
        trained = _trained(folder / "output", record, record)
        before = record["inputs"]
        changed = {name for name in before.keys() | inputs.keys() if before.get(name) != inputs.get(name)}
        names = {name for name in changed if not name.startswith(MODEL)}
        if trained is None or not names:
            return trained
        files = changed_files(names, before, inputs, stage, self.project, self.reads, folder / "reads")
        output = repack(trained.folder, draft, files) if files else ""
        return Trained(draft, replace(trained.outcome, output=output), trained.run_id) if output else None


def _trained(folder: Path, record: Mapping[str, Any], kept: Mapping[str, Any]) -> Trained | None:
    """Return the output in the folder, if it is the ``kept`` one: a killed trial may have left files of its own."""
    for leftover in folder.glob(".trial*"):
        remove_tree(leftover)
    if not folder.is_dir() or digest_folder(folder) != kept["content"]:
        return None
    return Trained(folder, StageResult(kept["output"], detail=record["detail"]), record["run"])


def _known_inputs(stage: Stage, run: Run) -> dict[str, str]:
    """Return the cache inputs that are known before a training."""
    inputs = run.stage(stage.name).cache_inputs
    return {name: value for name, value in inputs.items() if not name.startswith(READ)}
