from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.backends.local.lock import HeldError, Lock

HOLD = """
import sys, time
from pathlib import Path
from mlops_cli.backends.local.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire("run")
lock.note("run", "abcd1234")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_holds_the_project(other: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(HeldError, match=rf"`mlops run` \(process {other.pid}, since \d\d:\d\d:\d\d\) holds") as held:
        Lock(tmp_path / "lock").acquire("approve")
    assert held.value.hint == "Watch it: mlops logs --follow. Or end it: mlops stop"
    holder = Lock(tmp_path / "lock").holder()
    assert holder is not None
    assert (holder.pid, holder.run_id) == (other.pid, "abcd1234")


def test_kill_9_lets_go_of_it(other: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    lock = Lock(tmp_path / "lock")
    assert lock.holder() is None
    with lock.held("run"):
        assert lock.holder() is not None
    assert lock.holder() is None


def test_a_missing_lock_is_held_by_nobody(tmp_path: Path) -> None:
    assert Lock(tmp_path / "lock").holder() is None


def test_looking_never_keeps_anybody_out(tmp_path: Path) -> None:
    """`status` in a loop must not make `run` fail."""
    code = (
        "import sys; from pathlib import Path; from mlops_cli.backends.local.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1]))\nlock.holder()\nprint('looking', flush=True)\nwhile True: lock.holder()"
    )
    Lock(tmp_path / "lock").path.touch()
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    looker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert looker.stdout is not None
        assert looker.stdout.readline() == "looking\n"
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with Lock(tmp_path / "lock").held("run"):
                pass
        assert looker.poll() is None
    finally:
        looker.kill()
        looker.wait()
