"""The checkpoints of interrupted trainings. A training resumes from a checkpoint only if all inputs are unchanged."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.caching.reads import Reads
from mlops_cli.core.engine import is_forced
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import Stage
from mlops_cli.files.atomic import read_json, remove_tree, write_atomically


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one project: a folder for each cache key.

    The key covers the inputs that are known before the training. Other files that interrupted trainings have read are
    noted in KEY.json and KEY.reads, next to the folder.
    """

    artifacts: Path
    reads: Reads

    def folder(self, stage: Stage, run: Run) -> Path:
        """Return the folder that executions with the same key share.

        Folders of other keys stay until a training has finished, so that a training can continue from them if a change
        is reverted.
        """
        key = run.stage(stage.name).key[:16]
        # A forced run must not load the weights of an earlier one.
        return self.artifacts / stage.name / ".checkpoints" / (f"{key}-{run.id}" if is_forced(stage, run) else key)

    def prepare(self, stage: Stage, run: Run, log: Path) -> Path:
        """Return the folder. Empty it if a file that an earlier training has read was changed since.

        ``log``: the file in which this training will note the files that it reads.
        """
        folder = self.folder(stage, run)
        record, earlier = folder.with_name(f"{folder.name}.json"), folder.with_name(f"{folder.name}.reads")
        notes = read_json(record) or {}
        if folder.exists() and self._is_stale(notes, earlier, run.stage(stage.name).cache_inputs):
            remove_tree(folder)
        if not folder.exists():
            notes = {}
            earlier.unlink(missing_ok=True)
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, json.dumps({"since_ns": notes.get("since_ns", time.time_ns()), "log": str(log)}))
        return folder

    def remove_all(self, stage: Stage) -> None:
        remove_tree(self.artifacts / stage.name / ".checkpoints")

    def _is_stale(self, notes: Mapping[str, object], earlier: Path, counted: Mapping[str, str]) -> bool:
        """Return True unless every file that the earlier trainings have read is known and unchanged."""
        log, since_ns = Path(str(notes.get("log", ""))), notes.get("since_ns")
        logs = [file for file in (earlier, log) if file.is_file()]
        if not isinstance(since_ns, int) or not logs:
            return True
        earlier.write_bytes(b"".join(file.read_bytes() for file in logs))  # the training will write a new log
        return self.reads.have_changed(earlier, since_ns, counted)
