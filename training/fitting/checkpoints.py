"""Checkpoints of a training: the weights, the optimizer's state, and notes on the progress."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

Notes = dict[str, Any]
NOTES = "notes.json"


class Checkpoints:
    """The checkpoints of one training in ``folder``. Without a folder nothing is saved.

    ``identity`` covers all inputs of the training. A checkpoint of another training is never restored; it is deleted.
    """

    def __init__(self, folder: Path | None, identity: Any, **parts: tf.Module) -> None:
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self._others = folder
        self._folder = folder / f"training-{key}" if folder else None
        self._parts = tf.train.Checkpoint(**parts)

    def restore(self) -> Notes:
        """Restore the newest complete checkpoint and return its notes; {} if there is none."""
        for state in sorted(self._states(), reverse=True):
            saved = json.loads((state / NOTES).read_text(encoding="utf-8")) if (state / NOTES).is_file() else {}
            if saved and saved["sizes"] == _sizes(state):
                self._parts.read(str(state / "weights")).assert_consumed()
                return Notes(saved["notes"])
        return {}

    def save(self, step: int, notes: Notes) -> None:
        """Save a checkpoint and replace the earlier ones.

        The notes are written last. A checkpoint without notes, or with missing bytes after an interrupted copy, is not
        restored.
        """
        if self._folder is None:
            return
        self._remove_others()
        state = self._folder / f"{step:09d}"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        self._parts.write(str(state / "weights"))
        unfinished = state / "unfinished"
        unfinished.write_text(json.dumps({"notes": notes, "sizes": _sizes(state)}), encoding="utf-8")
        unfinished.replace(state / NOTES)
        for state_folder in self._states():
            if state_folder != state:
                shutil.rmtree(state_folder, ignore_errors=True)

    def clear(self) -> None:
        """Delete all checkpoints after the training."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _states(self) -> list[Path]:
        return list(self._folder.glob("[0-9]*")) if self._folder else []

    def _remove_others(self) -> None:
        for folder in self._others.glob("training-*") if self._others else ():
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)


def _sizes(state: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in state.glob("weights.*")}
