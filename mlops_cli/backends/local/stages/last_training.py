"""The output of the last training: if only the handlers or the examples have changed, a run tries its model again.

Handlers that were changed since replace those in the model package, without a training.
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
class LastTraining:
    """The last training: a record of its output, and the notes of what it has read.

    The output is in ``.last/output`` until its model has passed its trial, and then among the artifacts.
    """

    project: Project
    reads: Reads

    def folder(self, stage: Stage) -> Path:
        return self.project.artifacts / stage.name / ".last"

    def keep(self, draft: Path, stage: Stage, run: Run, outcome: StageResult, since_ns: int, log: Path) -> Trained:
        """Move the output of a training that began at ``since_ns``; ``log`` has the notes of its reads."""
        folder = self.folder(stage)
        remove_tree(folder)
        folder.mkdir(parents=True)
        if log.is_file():
            shutil.copyfile(log, folder / "reads")
        trained = Trained(draft, outcome, run.id)
        output = _record(f"{folder.name}/output", trained, stage, run)
        record = {"run": run.id, "since_ns": since_ns, "detail": outcome.detail, "outputs": [output]}
        write_atomically(folder / "record.json", json.dumps(record))
        draft.rename(folder / "output")
        return replace(trained, folder=folder / "output")

    def restore(self, draft: Path, stage: Stage, run: Run, log: Path) -> Trained | None:
        """Return the last training's output, with the present handlers; None if the run has to train.

        ``draft`` is an empty folder for another model package; the notes of the reads are copied to ``log``.
        """
        folder, inputs = self.folder(stage), _known_inputs(stage, run)
        record, reads = read_json(folder / "record.json"), folder / "reads"
        is_others = record is not None and is_forced(stage, run) and record["run"] != run.id
        if record is None or is_others or not reads.is_file():
            return None
        if self.reads.have_changed(reads, record["since_ns"], inputs):
            return None
        candidates = (self._with_present_code(stage, draft, record, output, inputs) for output in record["outputs"])
        trained = next(filter(None, candidates), None)
        if trained is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(reads, log)
        return trained

    def publish(self, trained: Trained, target: Path, stage: Stage, run: Run) -> None:
        """Move the output of a model that has passed its trial to the artifacts.

        A run that is killed before it has recorded the end of the stage uses the output again. The record names the
        earlier output, too, because such a run may not have moved this one.
        """
        file = self.folder(stage) / "record.json"
        record = read_json(file) or {}
        outputs = [_record(target.name, trained, stage, run), *record.get("outputs", [])[:1]]
        write_atomically(file, json.dumps({**record, "outputs": outputs}))
        if trained.folder != target:
            remove_tree(target)
            trained.folder.rename(target)
        remove_tree(self.folder(stage) / "output")

    def _with_present_code(
        self,
        stage: Stage,
        draft: Path,
        record: Mapping[str, Any],
        output: Mapping[str, Any],
        inputs: Mapping[str, str],
    ) -> Trained | None:
        trained = _trained(self.project.artifacts / stage.name / output["path"], record, output)
        before = output["inputs"]
        changed = {name for name in before.keys() | inputs.keys() if before.get(name) != inputs.get(name)}
        names = {name for name in changed if not name.startswith(MODEL)}
        if trained is None or before == inputs:
            return trained
        if not names:  # a copy: the output of another run stays
            shutil.copytree(trained.folder, draft, dirs_exist_ok=True)
            return replace(trained, folder=draft)
        reads = self.folder(stage) / "reads"
        files = changed_files(names, before, inputs, stage, self.project, self.reads, reads)
        digest = repack(trained.folder, draft, files) if files else ""
        return Trained(draft, replace(trained.outcome, output=digest), trained.run_id) if digest else None


def _record(path: str, trained: Trained, stage: Stage, run: Run) -> dict[str, Any]:
    """Return the record of the output at ``path`` below the stage's artifacts."""
    return {
        "path": path,
        "output": trained.outcome.output,
        "inputs": _known_inputs(stage, run),
        "content": digest_folder(trained.folder),
    }


def _trained(folder: Path, record: Mapping[str, Any], output: Mapping[str, Any]) -> Trained | None:
    """Return the output in the folder, if it is the recorded one: a killed trial may have left files of its own."""
    for leftover in folder.glob(".trial*"):
        remove_tree(leftover)
    if not folder.is_dir() or digest_folder(folder) != output["content"]:
        return None
    return Trained(folder, StageResult(output["output"], detail=record["detail"]), record["run"])


def _known_inputs(stage: Stage, run: Run) -> dict[str, str]:
    """Return the cache inputs that are known before a training."""
    inputs = run.stage(stage.name).cache_inputs
    return {name: value for name, value in inputs.items() if not name.startswith(READ)}
