"""A file that is written exists completely or not at all."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.files.atomic import read_json, write_atomically


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "data.json"
    write_atomically(file, '{"number": 1}')

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, '{"number": 2}')
    assert read_json(file) == {"number": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_a_repeated_write_removes_the_partial_file_of_a_killed_one(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file = tmp_path / "[data].json"
    for name in (f"{file.name}.{ended.pid}.partial", f"{file.name}.{os.getppid()}.partial", f"d.{ended.pid}.partial"):
        (tmp_path / name).write_text("half")
    write_atomically(file, "{}")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {file.name, f"{file.name}.{os.getppid()}.partial", f"d.{ended.pid}.partial"}


def test_a_repeated_write_keeps_the_partial_file_of_a_process_in_another_container(tmp_path: Path) -> None:
    """A process number of another container has no meaning here, but its lock has."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    partial = tmp_path / f"data.json.{ended.pid}.partial"
    with partial.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_atomically(tmp_path / "data.json", "{}")
        assert partial.exists()
    write_atomically(tmp_path / "data.json", "{}")
    assert not partial.exists()


@pytest.mark.parametrize("content", [b"", b'{"number": ', b"[1]", b"\xff"])
def test_an_unreadable_file_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(content)
    assert read_json(file) is None
    assert read_json(tmp_path / "none.json") is None
    assert read_json(tmp_path) is None
