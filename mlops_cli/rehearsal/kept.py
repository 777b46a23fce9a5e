"""A simulated AWS that a rehearsal has kept: the note in its folder, and the command that ends it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.atomic import read_json, remove_tree, write_atomically
from mlops_cli.files.process_identity import Identity, identity_of, parse_identity, send

NOTE = "kept.json"
END_SECONDS = 60.0


def write_note(folder: Path, pid: int) -> None:
    """Write into the folder which process holds it, and the folder's number: a copied folder belongs to the user."""
    write_atomically(folder / NOTE, json.dumps({**asdict(identity_of(pid)), "folder": _number_of(folder)}))


def _number_of(folder: Path) -> str:
    """Return the number of a folder in its file system. A copy has another one."""
    status = folder.stat()
    return f"{status.st_dev}:{status.st_ino}"


def end_kept(folder: Path) -> bool:
    """End the simulated AWS in the folder and wait until it is gone. Return False if it was gone already.

    Raise ConfigurationError for any other folder, and MlopsError if the simulated AWS does not end.
    """
    if not os.path.lexists(folder):
        return False
    process = _process(folder)
    is_running = send(process, signal.SIGTERM)
    if not _wait_until(lambda: not (folder.exists() or process.is_known)):
        if is_running and process.is_known:
            raise MlopsError(
                f"The simulated AWS in {folder} does not end: process {process.pid} is still there.",
                f"kill -9 {process.pid}, then repeat the command",
            )
        _remove(folder)
    return True


def _process(folder: Path) -> Identity:
    """Return the process in the note. Only the user who owns the folder can have written the note."""
    note = None if folder.is_symlink() or folder.stat().st_uid != os.geteuid() else read_json(folder / NOTE)
    try:
        process = parse_identity(note or {})
        if note is None or note["folder"] != _number_of(folder):
            raise ValueError
        return process
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"{folder} is no folder of a rehearsal that you have kept.",
            "mlops rehearse --keep prints the command that ends it.",
        ) from None


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + END_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _remove(folder: Path) -> None:
    """Remove the folder, because the process that should remove it was killed."""
    from aws_simulator.processes import remove_links

    remove_links(str(folder.resolve()))
    remove_tree(folder)
