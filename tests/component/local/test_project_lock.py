from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.errors import MlopsError
from mlops_cli.processes import project_lock as lock_module
from mlops_cli.processes.project_lock import ProjectLock, ProjectLockedError, acquire_by_force

HOLD = """
import sys, time
from pathlib import Path
from mlops_cli.processes.project_lock import ProjectLock
lock = ProjectLock(Path(sys.argv[1]))
lock.acquire("run")
lock.write_holder("run", "abcd1234")
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


def test_a_second_command_names_the_process_that_holds_the_project(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(
        ProjectLockedError, match=rf"`mlops run` \(process {other.pid}, since \d\d:\d\d:\d\d\) holds"
    ) as held:
        ProjectLock(tmp_path / "lock").acquire("approve")
    assert held.value.hint == "Watch it: mlops logs --follow. Or end it: mlops stop"
    holder = ProjectLock(tmp_path / "lock").holder()
    assert holder is not None
    assert (holder.process.pid, holder.run_id) == (other.pid, "abcd1234")


def test_kill_9_lets_go_of_it(other: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    lock = ProjectLock(tmp_path / "lock")
    assert lock.holder() is None
    with lock.held("run"):
        assert lock.holder() is not None
    assert lock.holder() is None


NOTED_ELSEWHERE = """
import json
note = json.loads(lock.path.read_text())
note["process"][sys.argv[2]] = "4026531000"
lock.path.write_text(json.dumps(note))
print("held"
"""
OTHERWHERE = HOLD.replace('print("held"', NOTED_ELSEWHERE.strip())


@pytest.mark.parametrize("fact", ["namespace", "started"])
def test_a_number_that_may_mean_another_process_is_never_signalled(tmp_path: Path, fact: str) -> None:
    command = [sys.executable, "-c", OTHERWHERE, str(tmp_path / "lock"), fact]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(MlopsError, match="holds this project in another container or on another machine") as held:
            acquire_by_force(ProjectLock(tmp_path / "lock"), "cleanup")
        assert "End it there (mlops stop)" in held.value.hint
        with pytest.raises(ProjectLockedError) as refused:
            ProjectLock(tmp_path / "lock").acquire("run")
        assert "in another container" in refused.value.hint
        assert process.poll() is None
        process.kill()


def test_the_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "lock").symlink_to(precious)
    with pytest.raises(MlopsError, match="is a link, which mlops never creates"):
        ProjectLock(tmp_path / "lock").acquire("run")
    assert precious.read_text() == "mine"


def test_a_lock_that_a_cleanup_has_removed_meanwhile_is_not_held(tmp_path: Path, monkeypatch) -> None:
    """A process that opened the old file would hold a lock that no other process sees."""
    path = tmp_path / "lock"
    opened = lock_module._open

    def removed_meanwhile(at: Path, flags: int) -> int:
        file = opened(at, flags)
        monkeypatch.setattr(lock_module, "_open", opened)
        path.unlink()
        return file

    monkeypatch.setattr(lock_module, "_open", removed_meanwhile)
    with ProjectLock(path).held("run"), pytest.raises(ProjectLockedError):
        ProjectLock(path).acquire("cleanup")


def test_a_missing_lock_has_no_holder(tmp_path: Path) -> None:
    assert ProjectLock(tmp_path / "lock").holder() is None


def test_a_check_of_the_lock_never_blocks_another_command(tmp_path: Path) -> None:
    """`status` in a loop must not make `run` fail."""
    code = (
        "import sys; from pathlib import Path; from mlops_cli.processes.project_lock import ProjectLock\n"
        "lock = ProjectLock(Path(sys.argv[1]))\nlock.holder()\nprint('looking', flush=True)\nwhile True: lock.holder()"
    )
    ProjectLock(tmp_path / "lock").path.touch()
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    looker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert looker.stdout is not None
        assert looker.stdout.readline() == "looking\n"
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with ProjectLock(tmp_path / "lock").held("run"):
                pass
        assert looker.poll() is None
    finally:
        looker.kill()
        looker.wait()
