"""Atomic writes: after a kill, the file is either the old or the new one, and complete."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlops_cli.files.json_text import parse_json


def write_atomically(path: Path, text: str) -> None:
    """Replace the file, synced to disk. Raise OSError; then the old file is unchanged.

    If a write is killed, its repetition removes the partial file.
    """
    with suppress(OSError):  # for example, it belongs to another user
        remove_partial_files(path.parent, glob.escape(path.name))
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partial_files(folder: Path, pattern: str) -> list[Path]:
    """Return the partial files and folders of killed processes that match the pattern."""
    paths = ((path, path.name.split(".")[-2]) for path in folder.glob(f"{pattern}.*.partial"))
    dead = (path for path, pid in paths if pid.isdecimal() and not _is_alive(int(pid)))
    return sorted(path for path in dead if not _is_locked(path))


def remove_partial_files(folder: Path, pattern: str) -> None:
    for path in partial_files(folder, pattern):
        remove_tree(path)


def _is_locked(path: Path) -> bool:
    """Return True if a process writes the file. A process number from another container means nothing here."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the file; None if the file is missing, unreadable or contains anything else."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def open_unless_link(path: str, flags: int) -> int:
    """Open a file, as ``open``'s opener, unless it is a link: a link could redirect the write anywhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with its content, including read-only parts."""
    with suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        try:
            shutil.rmtree(path)
        except PermissionError:
            _make_writable(path)
            shutil.rmtree(path)
        except OSError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # the signal arrived while rmtree was closing a folder
                raise KeyboardInterrupt from None
            raise


def _make_writable(folder: Path) -> None:
    folder.chmod(stat.S_IRWXU)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _make_writable(path)
