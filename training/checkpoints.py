"""Where a training that was interrupted goes on: weights, the optimizers' memory, and notes on how far it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

Notes = dict[str, Any]


class Checkpoints:
    """Saved states of one training in ``folder``; without a folder nothing is saved.

    ``identity`` is all that the training is made from: a state of another one is never taken up, and is removed.
    """

    def __init__(self, folder: Path | None, identity: Any, **parts: tf.Module) -> None:
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self._others = folder
        self._folder = folder / f"training-{key}" if folder else None
        self._parts = tf.train.Checkpoint(**parts)

    def restore(self) -> Notes:
        """Takes up the newest state and gives what was noted with it; nothing if there is none."""
        newest = tf.train.latest_checkpoint(self._folder) if self._folder else None
        if newest is None:
            return {}
        self._parts.restore(newest).assert_consumed()
        notes: Notes = json.loads(Path(f"{newest}.json").read_text(encoding="utf-8"))
        return notes

    def save(self, step: int, notes: Notes) -> None:
        """Replaces the state before; killed in between, that one is still whole."""
        if self._folder is None:
            return
        self._remove_others()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"ckpt-{step}.json").write_text(json.dumps(notes), encoding="utf-8")
        tf.train.CheckpointManager(self._parts, self._folder, max_to_keep=1).save(checkpoint_number=step)
        for old in self._folder.glob("ckpt-*.json"):
            if old.name != f"ckpt-{step}.json":
                old.unlink()

    def clear(self) -> None:
        """The training is over."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _remove_others(self) -> None:
        for folder in self._others.glob("training-*") if self._others else ():
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
