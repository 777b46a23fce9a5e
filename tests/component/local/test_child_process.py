"""A stage's process never continues after its mlops has ended, and its output is kept."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mlops_cli.processes import child_process, interruption, subreaper
from mlops_cli.processes.child_process import JobProcesses, TimeLimitError
from mlops_cli.processes.output_lines import OutputLine
from tests.conftest import LIMIT_SECONDS, is_alive, links_into, wait_for

RUN = """
import sys
from pathlib import Path
from mlops_cli.processes import child_process
from mlops_cli.processes.child_process import JobProcesses
folder = Path(sys.argv[1])
with (folder / "log").open("wb") as log:
    JobProcesses(folder / "children").run([sys.executable, "-c", sys.argv[2]], folder, {}, log, lambda line: None)
"""
GRANDCHILD = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(os.getpid(), child.pid, flush=True)\ntime.sleep(600)\n"
)


def run(folder: Path, code: str) -> tuple[int, list[str], str]:
    lines: list[OutputLine] = []
    with (folder / "log").open("w+b") as log:
        code_ = JobProcesses(folder / "children").run([sys.executable, "-c", code], folder, {}, log, lines.append)
        log.seek(0)
        return code_, [line.text for line in lines], log.read().decode("utf-8", "replace")


def test_output_and_exit_code_are_kept(tmp_path: Path) -> None:
    code, lines, log = run(tmp_path, "import sys; print('one'); print('two', file=sys.stderr); sys.exit(7)")
    assert code == 7
    assert sorted(lines) == ["one", "two"]
    assert sorted(log.split()) == ["one", "two"]


def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    code, _, _ = run(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert code == -signal.SIGKILL


def test_a_process_above_its_time_limit_is_ended_with_its_children(tmp_path: Path) -> None:
    children = JobProcesses(tmp_path / "children")
    command = [sys.executable, "-c", GRANDCHILD]
    with (tmp_path / "log").open("w+b") as log, pytest.raises(TimeLimitError):
        children.run(command, tmp_path, {}, log, lambda line: None, seconds=3.0)
    pids = [int(pid) for pid in (tmp_path / "log").read_text().split()]
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    assert list((tmp_path / "children").glob("*")) == []


def test_output_that_is_not_text_does_no_harm(tmp_path: Path) -> None:
    _, lines, _ = run(tmp_path, "import os; os.write(1, b'\\xff\\xfe\\n')")
    assert lines == ["\ufffd\ufffd"]


def test_a_bar_that_is_drawn_is_in_the_log_already(tmp_path: Path) -> None:
    """The script waits until its own frame is in the log."""
    code, lines, log = run(
        tmp_path,
        "import sys, time\n"
        "for i in range(5000): sys.stderr.write(f'\\r{i}/5000')\n"
        "sys.stderr.flush()\n"
        "for _ in range(1000):\n"
        "    if '4999/5000' in open('log').read(): break\n"
        "    time.sleep(0.02)\n"
        "else: sys.exit('the log stays empty')\n"
        "print(' and the end')\n",
    )
    assert (code, lines[-2:]) == (0, ["4999/5000", " and the end"])
    assert len(log) < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children with their parent on Linux only")
def test_kill_9_of_mlops_ends_the_stage_and_the_next_sweep_its_children(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), GRANDCHILD])
    log = tmp_path / "log"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    child, grandchild = map(int, log.read_text().split())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_alive(child))
    JobProcesses(tmp_path / "children").kill_orphans()
    wait_for(lambda: not is_alive(grandchild))


def test_an_interrupt_ends_the_whole_group(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), GRANDCHILD], stderr=subprocess.DEVNULL)
    log = tmp_path / "log"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    pids = [int(pid) for pid in log.read_text().split()]
    os.kill(parent.pid, signal.SIGINT)
    parent.wait(LIMIT_SECONDS)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


SIGNALLED = """
import signal, subprocess, sys, threading
from pathlib import Path
from types import SimpleNamespace
from mlops_cli.processes import interruption
from mlops_cli.processes.child_process import JobProcesses

class Lock:
    \"""Popen's lock: the signal comes when ``number`` calls have taken it, before anybody could release it.\"""

    def __init__(self):
        self.lock, self.number = threading.Lock(), int(sys.argv[2])

    def acquire(self, *arguments):
        taken = self.lock.acquire(*arguments)
        self.number -= taken
        if taken and not self.number:
            signal.raise_signal(signal.SIGTERM)
        return taken

    def release(self):
        self.lock.release()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()

subprocess.threading = SimpleNamespace(Lock=Lock, Thread=threading.Thread)
interruption.interrupt_on_signals()
folder = Path(sys.argv[1])
code = "import sys\\nfor line in range(100): print('line', flush=True)\\nif sys.argv[1:]: import time; time.sleep(600)"
try:
    with (folder / "log").open("wb") as log:
        argv = [sys.executable, "-c", code, *sys.argv[3:]]
        JobProcesses(folder / "children").run(argv, folder, {}, log, lambda line: None)
except KeyboardInterrupt:
    sys.exit(interruption.exit_code())
"""


@pytest.mark.parametrize("arguments", [("1", "stay"), ("2", "stay"), ("1",)])
def test_a_signal_while_a_line_comes_leaves_no_lock_behind(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Popen.poll takes a lock; a KeyboardInterrupt would leave it locked forever."""
    command = [sys.executable, "-c", SIGNALLED, str(tmp_path), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert (process.returncode, process.stderr) == (128 + signal.SIGTERM, "")
    assert list(tmp_path.glob("children/*")) == []


def test_a_signal_during_the_start_ends_the_child(tmp_path: Path) -> None:
    children, started = JobProcesses(tmp_path / "children"), []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[call-overload]
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    handlers = {sign: signal.getsignal(sign) for sign in interruption.ENDING}
    interruption.interrupt_on_signals()
    try:
        with pytest.MonkeyPatch.context() as patch, (tmp_path / "log").open("wb") as log:
            patch.setattr(subprocess, "Popen", Popen)
            with children.job() as job, pytest.raises(KeyboardInterrupt):
                job.run(["sleep", "600"], tmp_path, {}, log, lambda line: None)
            assert not is_alive(started[0])
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Provide a folder whose path is too long for the sockets of processes."""
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    return folder


SHOW_TMPDIR = "import os; print(os.environ['TMPDIR'])"


def test_all_processes_of_a_job_have_the_same_short_folder(deep: Path) -> None:
    lines: list[OutputLine] = []
    with JobProcesses(deep / "children").job() as job, (deep / "log").open("wb") as log:
        for _ in range(2):
            job.run([sys.executable, "-c", SHOW_TMPDIR], deep, {}, log, lines.append)
    assert [line.text for line in lines] == 2 * [f"/tmp/mlops-{job.token}"]
    assert links_into(deep) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a process stays behind on Linux only")
def test_kill_9_of_mlops_leaves_no_link(deep: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUN, str(deep), GRANDCHILD])
    log = deep / "log"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    assert len(links_into(deep)) == 1
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: links_into(deep) == [])


def test_a_link_to_a_job_that_was_removed_ends_with_the_next_command(deep: Path, tmp_path: Path) -> None:
    children, others = JobProcesses(deep / "children"), JobProcesses(tmp_path / "others")
    jobs = [children.begin(), children.begin(), children.begin()]
    links = [Path(job.environment({})["TMPDIR"]) for job in jobs]
    foreign = [Path(f"/tmp/mlops-{os.urandom(6).hex()}") for _ in range(2)]
    try:
        foreign[0].symlink_to(tmp_path / "others" / foreign[0].name)
        foreign[1].symlink_to(deep / "children" / "of-a-person")
        for job in jobs[:2]:
            job.folder.rmdir()
        others.kill_orphans()
        assert [link.is_symlink() for link in links] == [True, True, True], "another project's"
        children.kill_orphans()
        assert [link.is_symlink() for link in (*links, *foreign)] == [False, False, True, True, True]
    finally:
        for job in jobs:
            job.end()
            job.release_ownership()
        for link in foreign:
            link.unlink(missing_ok=True)
    assert [link for link in links if link.is_symlink()] == []


def test_a_sweep_with_nothing_to_sweep(tmp_path: Path) -> None:
    children = JobProcesses(tmp_path / "children")
    children.kill_orphans()
    run(tmp_path, "pass")
    children.kill_orphans()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]


def test_a_child_that_keeps_the_output_open_does_not_hold_the_stage_up(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.Popen('sleep 600; touch waited', shell=True, start_new_session=True)"
    assert run(tmp_path, code)[:2] == (0, [])
    assert not (tmp_path / "waited").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a daemon is found by its environment in /proc")
def test_orphans_are_found_after_they_left_the_group_and_closed_their_files(tmp_path: Path) -> None:
    daemon = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3)\n"
        "print(os.getpid(), child.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), daemon])
    log = tmp_path / "log"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    pids = [int(pid) for pid in log.read_text().split()]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    JobProcesses(tmp_path / "children").kill_orphans()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="a daemon is found by its environment in /proc")
def test_a_finished_stages_process_in_another_session_is_ended(tmp_path: Path) -> None:
    code = (
        "import subprocess\n"
        "print(subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3).pid, flush=True)"
    )
    status, lines, _ = run(tmp_path, code)
    assert status == 0
    assert not is_alive(int(lines[0]))


# Leaves its session, its parents and its environment: nothing about it names the stage.
LOST = """
import os, time
if not os.fork():
    os.setsid()
    if daemon := os.fork():
        os.write(1, b"%d\\n" % daemon)
        os._exit(0)
    os.closerange(0, 3)
    os.execve("/bin/sleep", ["sleep", "600"], {})
os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_a_daemon_without_any_mark_ends_with_its_stage(tmp_path: Path) -> None:
    status, lines, _ = run(tmp_path, LOST)
    assert status == 0
    assert not is_alive(int(lines[0]))


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_no_other_process_is_looked_at_when_the_subreaper_has_ended_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    monkeypatch.setattr(child_process, "find_by_token", lambda token: searched.append(token) or [])
    assert [run(tmp_path, LOST)[0], run(tmp_path, "raise SystemExit(3)")[0]] == [0, 3]
    assert searched == []
    assert not (tmp_path / "children").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGUSR1])
def test_processes_of_a_script_that_ends_its_subreaper_are_ended(tmp_path: Path, sign: signal.Signals) -> None:
    code = (
        "import os, subprocess, time\n"
        "print(subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3).pid, flush=True)\n"
        f"os.kill(os.getppid(), {sign.value}); time.sleep(600)"
    )
    status, lines, _ = run(tmp_path, code)
    assert status == -sign.value
    assert not is_alive(int(lines[0]))
    assert not (tmp_path / "children").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_a_subreaper_that_cannot_end_a_process_does_not_exit_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subreaper, "_has_children", lambda: True)
    monkeypatch.setattr(subreaper, "KILL_SECONDS", 0.0)
    assert run(tmp_path, "pass")[0] == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_a_child_that_writes_after_the_script_has_ended_may_finish(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.Popen('sleep 0.3; echo late', shell=True)"
    assert run(tmp_path, code)[:2] == (0, ["late"])


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_daemon_without_any_mark_ends_with_mlops(tmp_path: Path, sign: signal.Signals) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path), f"{LOST}\ntime.sleep(600)"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        log = tmp_path / "log"
        wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
        daemon = int(log.read_text())
        assert is_alive(daemon)
        parent.send_signal(sign)
        parent.wait(LIMIT_SECONDS)
        JobProcesses(tmp_path / "children").kill_orphans()
    assert not is_alive(daemon)
    assert not (tmp_path / "children").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_a_script_that_ignores_the_signal_is_killed_with_its_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{LOST}\ntime.sleep(600)"
    monkeypatch.setattr(child_process, "GRACE_SECONDS", 0.2)
    children = JobProcesses(tmp_path / "children")
    with (tmp_path / "log").open("w+b") as log, pytest.raises(TimeLimitError):
        children.run([sys.executable, "-c", code], tmp_path, {}, log, lambda line: None, seconds=1.0)
    assert not is_alive(int((tmp_path / "log").read_text()))


LEAVES_FILES = "import tempfile; print(tempfile.mkdtemp(), flush=True); import time; time.sleep({seconds})"


def test_temporary_files_lie_with_the_token_and_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "system").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "system"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    _, lines, _ = run(tmp_path, LEAVES_FILES.format(seconds=0))
    assert lines
    (tmp_path / "log").unlink()
    command = [sys.executable, "-c", RUN, str(tmp_path), LEAVES_FILES.format(seconds=600)]
    with subprocess.Popen(command) as parent:
        log = tmp_path / "log"
        wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
        folder = Path(log.read_text().strip())
        assert folder.resolve().is_relative_to(tmp_path / "children")
        parent.kill()
    JobProcesses(tmp_path / "children").kill_orphans()
    assert not folder.exists()
    assert not (tmp_path / "children").exists()
    assert list((tmp_path / "system").iterdir()) == []


def test_sockets_fit_into_the_temporary_folder_of_a_project_that_lies_deep(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 25)
    folder.mkdir()
    code = "from multiprocessing import Manager\nwith Manager() as manager: print(manager.list([1, 2]))"
    status, lines, _ = run(folder, code)
    assert (status, lines) == (0, ["[1, 2]"])


def test_processes_of_another_running_command_are_not_ended(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), GRANDCHILD], stderr=subprocess.DEVNULL)
    log = tmp_path / "log"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    pids = [int(pid) for pid in log.read_text().split()]
    JobProcesses(tmp_path / "children").kill_orphans()
    assert all(is_alive(pid) for pid in pids)
    JobProcesses(tmp_path / "children").kill_orphans(owned=True)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    parent.wait(LIMIT_SECONDS)


def test_the_next_process_clears_up_after_a_killed_command_of_any_kind(tmp_path: Path) -> None:
    left = tmp_path / "children" / "0123456789ab"
    left.mkdir(parents=True)
    (left / "report.json").write_text("half")
    beside = JobProcesses(tmp_path / "children").begin()
    code, lines, _ = run(tmp_path, "print('ran')")
    assert (code, lines) == (0, ["ran"])
    assert [path.name for path in (tmp_path / "children").iterdir()] == [beside.token], "it is another command's"
    beside.release_ownership()


def test_a_process_keeps_its_folder_when_another_command_clears_up_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, cleared = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not cleared:
            (made,) = (tmp_path / "children").iterdir()
            cleared.append(made.name)
            made.rmdir()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    job = JobProcesses(tmp_path / "children").begin()
    assert cleared == [job.token]
    assert job.folder.is_dir()
    job.release_ownership()


def test_a_folder_is_not_owned_while_another_command_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner locks its folder while the other command still looks for processes of an earlier owner."""
    children, searched = JobProcesses(tmp_path / "children"), []

    def search(token: str) -> list[int]:
        descriptor = os.open(tmp_path / "children" / token, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        searched.append(token)
        return []

    orphan = children.begin()
    orphan.release_ownership()
    monkeypatch.setattr(child_process, "kill_by_token", search)
    children.kill_orphans()
    assert searched == [orphan.token]
    assert not orphan.folder.exists()


@pytest.mark.parametrize("note", ["noise", "link"])
def test_something_else_in_the_place_of_the_tokens(tmp_path: Path, note: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    if note == "link":
        (tmp_path / "children").symlink_to(precious)
    else:
        (tmp_path / "children").write_bytes(b"\xff\xfe\x00")
    JobProcesses(tmp_path / "children").kill_orphans()
    assert not (tmp_path / "children").is_symlink()
    assert not (tmp_path / "children").exists()
    assert run(tmp_path, "pass")[0] == 0
    assert precious.read_text() == "mine"


ELSEWHERE = """
import os, sys
from pathlib import Path
from mlops_cli.files.process_identity import own_identity
from mlops_cli.processes import child_process
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.processes.process_tokens import environments
assert os.readlink("/proc/self") != str(os.getpid()), "this is no foreign /proc"
processes = JobProcesses(Path(sys.argv[1]))
processes.kill_orphans(owned=True)
sys.exit(bool([*environments()] or processes.orphans() or own_identity().is_known))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PID namespaces are Linux's")
def test_numbers_of_another_pid_namespace_are_never_signalled(tmp_path: Path) -> None:
    """In a container with the host's /proc, a process has another number there, or none."""
    job = JobProcesses(tmp_path / "children").begin()
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env=job.environment(dict(os.environ))
    )
    try:
        command = ["unshare", "--pid", "--fork", sys.executable, "-c", ELSEWHERE, str(tmp_path / "children")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "unshare" in done.stderr:
            pytest.skip(f"no namespace can be made here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        assert is_alive(child.pid)
        assert job.folder.is_dir(), "its processes stay on record"
    finally:
        job.end()
        job.release_ownership()
        child.wait()
