"""A small project whose scripts need no TensorFlow, and `mlops` as a forked process in it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

USE_CASE = Path(__file__).parents[1] / "usecases" / "tiny"
# What the kernel is asked for when a file is changed.
CALLS = "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,ftruncate,pwrite64,link,symlink"
# The same as Python tells it to who listens; what SQLite does is not among it.
EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "sqlite3.connect"}
LIMIT_SECONDS = 120.0
# What a script may leave behind: it has left its session, its parents and its environment.
DAEMON = """
import subprocess
subprocess.Popen("exec env -i setsid sleep 300 </dev/null >/dev/null 2>&1 &", shell=True).wait()
"""

CODE = {
    "src/app.py": "print(1)\n",
    "tests/test_app.py": "def test_app():\n    assert True\n",
    "README.md": "# An app\n",
    "requirements.txt": "requests\n",
    ".gitignore": "build/\n",  # mlops adds a line
    ".env": "DEBUG=1\n",
}


class Project:
    """A project in ``folder``. ``temporary``: the TMPDIR of all its processes, which must be empty at the end."""

    def __init__(self, folder: Path, has_files: bool = False) -> None:
        self.folder = folder
        self.has_files = has_files
        self.snapshot = folder.with_name(f"{folder.name}.snapshot")
        self.temporary = folder.with_name(f"{folder.name}.tmp")
        self.modules = folder.with_name(f"{folder.name}.modules")
        self.temporary.mkdir(exist_ok=True)
        self.own_files: list[str] = []
        self.reference: dict[str, bytes] = {}  # what a whole `init` writes

    def make_empty(self, has_code: bool = False) -> None:
        self.folder.mkdir()
        if has_code:
            subprocess.run(["git", "init", "--quiet", "-b", "main"], cwd=self.folder, check=True)
            for name, content in CODE.items():
                (self.folder / name).parent.mkdir(exist_ok=True)
                (self.folder / name).write_text(content)
        self.own_files = self.files()

    def hold(self) -> None:
        """Start a run in the background, whose training waits until somebody stops it."""
        training = self.folder / "training"
        (training / "hold-train").touch()
        (training / "reached-train").unlink(missing_ok=True)
        self("run", "--force", "--detach")
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (training / "reached-train").exists():
            if time.monotonic() > deadline:
                raise RuntimeError("the training of the background run has not begun")
            time.sleep(0.01)

    def make(self) -> None:
        shutil.copytree(USE_CASE / "training", self.folder / "training", ignore=shutil.ignore_patterns("__pycache__"))
        script = self.folder / "training" / "train.py"
        script.write_text(script.read_text() + DAEMON)
        settings = self.folder / "training" / "usecase.toml"
        settings.write_text(settings.read_text().replace('source = "sample"\nfile = "tiny.csv"', 'source = "tiny.csv"'))
        rows = "".join(f"{number},text number {number},{number % 2}\n" for number in range(20))
        (self.folder / "tiny.csv").write_text("id,text,long\n" + rows)
        if self.has_files:
            self._make_other()
        self.own_files = self.files()

    def _make_other(self) -> None:
        """Change the data to a folder of files. Move ``hold`` to code above."""
        training, source = self.folder / "training", self.folder.with_name(f"{self.folder.name}.src")
        source.mkdir(exist_ok=True)
        (training / "hold.py").replace(source / "hold.py")
        hold = (source / "hold.py").read_text()
        (source / "hold.py").write_text(hold.replace("Path(__file__).parent", f"Path({str(training)!r})"))
        (self.folder / "texts").mkdir()
        for label in ("long", "short"):
            (self.folder / "texts" / label).mkdir()
            for number in range(2):
                (self.folder / "texts" / label / f"{number}.txt").write_text(f"{label} {number}")
        (self.folder / "tiny.csv").unlink()
        settings = training / "usecase.toml"
        table = settings.read_text().replace('source = "tiny.csv"', 'source = "texts"')
        columns = '[data.columns]\nid = "id"\ntext = "text"\nlong = "label"\n'
        more = f'[code]\npath = ["../{source.name}"]\n'
        settings.write_text(table.replace(columns, more))
        preprocess = training / "preprocess.py"
        copied = "shutil.copytree(arguments.input_dir, arguments.output_dir / split, dirs_exist_ok=True)"
        lines = preprocess.read_text().splitlines()
        lines = [f"    {copied}" if line.startswith("    shutil.copy(") else line for line in lines]
        preprocess.write_text("\n".join(lines) + "\n")
        gate = training / "tests" / "test_pretraining.py"
        rows = '"train", "dataset.csv").read_text().splitlines()[1:]'
        gate.write_text(gate.read_text().replace(rows, '"train").rglob("*.txt")').replace("len(rows)", "len([*rows])"))

    def __call__(self, *arguments: str, kill_at: int = 0, after: float = 0.0, sign: int = signal.SIGKILL) -> int:
        """Run a command in a fork. Return its exit code, or minus the signal that ended it.

        Kill it at its ``kill_at``-th change of a file, or send it a signal ``after`` this number of seconds.
        """
        pid = self.start(*arguments, kill_at=kill_at)
        if after:
            time.sleep(after)
            os.kill(pid, sign)
        return self.wait(pid)

    def start(self, *arguments: str, kill_at: int = 0, stopped: bool = False) -> int:
        """Fork, because imports take longer than most commands. ``stopped``: wait for SIGCONT first."""
        import mlops_cli.backends
        import mlops_cli.cli

        mlops_cli.cli.register_commands()
        log = self._log(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        if pid := os.fork():
            return pid
        try:
            os.setsid()
            os.chdir(self.folder)
            out, err = (os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for file in (log, _errors(log)))
            for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
                os.dup2(descriptor, target)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # not what a test runner has put there
            tempfile.tempdir = None
            os.environ.update(TMPDIR=str(self.temporary), NO_COLOR="1")
            sys.argv = ["mlops", *arguments]
            if stopped:
                os.kill(os.getpid(), signal.SIGSTOP)
            if kill_at:
                sys.addaudithook(_Killer(kill_at))
            mlops_cli.cli.main(mlops_cli.backends)
            raise SystemExit(0)
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            self.modules.write_text("\n".join(set(sys.modules)))
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException:  # noqa: BLE001 (the fork must not go on as its parent)
            sys.excepthook(*sys.exc_info())
            os._exit(70)

    def wait(self, pid: int) -> int:
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return 124

    def traced(self, *arguments: str, kill_at: int = 0) -> list[str]:
        """Run a command with strace and kill it at its ``kill_at``-th call. Return its calls."""
        calls = self.folder.with_name(f"{self.folder.name}.calls")
        inject = ["-e", f"inject={CALLS}:signal=KILL:when={kill_at}"] if kill_at else []
        pid = self.start(*arguments, stopped=True)
        os.waitpid(pid, os.WUNTRACED)
        strace = subprocess.Popen(["strace", "-qq", "-o", calls, "-e", f"trace={CALLS}", *inject, "-p", str(pid)])
        while not _has_tracer(pid):
            if strace.poll() is not None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise RuntimeError(f"strace could not attach; it ended with {strace.returncode}")
            time.sleep(0.001)
        os.kill(pid, signal.SIGCONT)
        self.wait(pid)
        strace.wait()
        lines = calls.read_text(errors="replace").splitlines()
        return [line for line in lines if not line.startswith(("+++", "---"))]

    def changes(self, *arguments: str) -> range:
        """Run a command to its end. Return the numbers of its changes of files, as Python reports them."""
        counter = self.folder.with_name(f"{self.folder.name}.count")
        os.environ["HARNESS_COUNT"] = str(counter)
        try:
            self(*arguments, kill_at=1 << 30)
        finally:
            del os.environ["HARNESS_COUNT"]
        return range(1, counter.stat().st_size + 1)

    def preload(self) -> None:
        """Import the modules of the last command, so that the next forks need not."""
        names = self.modules.read_text().splitlines() if self.modules.exists() else []
        for name in sorted(names):
            with suppress(Exception):
                importlib.import_module(name)

    def json(self, *arguments: str) -> Any:
        """Return the command's JSON output; None if it failed."""
        code = self(*arguments, "--json")
        return json.loads(self._log(arguments).read_text()) if code == 0 else None

    def said(self, *arguments: str) -> str:
        log = self._log(arguments)
        return "".join(file.read_text(errors="replace") for file in (log, _errors(log)) if file.exists())

    def _log(self, arguments: tuple[str, ...]) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{arguments[0]}.log")

    def processes(self) -> list[str]:
        """Return the processes that work in the project or have a file of it on their command line."""
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                here, command = (
                    str((process / "cwd").readlink()),
                    (process / "cmdline").read_bytes().decode(errors="replace"),
                )
            except OSError:
                continue
            if int(process.name) != os.getpid() and (
                f"{here}/".startswith(f"{self.folder}/") or f"{self.folder}/" in command
            ):
                lines.append(f"{process.name} {command[:120]!r}")
        return lines

    def end_all(self) -> None:
        for line in self.processes():
            try:
                os.kill(int(line.split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.01)

    def files(self) -> list[str]:
        paths = (path for path in self.folder.rglob("*") if "__pycache__" not in path.parts)
        return sorted(
            str(path.relative_to(self.folder)) for path in paths if not path.name.startswith(("reached-", "hold-"))
        )

    def save(self) -> None:
        self.end_all()
        shutil.rmtree(self.snapshot, ignore_errors=True)
        shutil.copytree(self.folder, self.snapshot, symlinks=True)

    def contents(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in self.files() if (self.folder / name).is_file()}

    def restore(self) -> None:
        self.end_all()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.snapshot, self.folder, symlinks=True)


class _Killer:
    """Kills its own process before a certain change of a file."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.count = os.environ.get("HARNESS_COUNT")

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS and not (event == "open" and _is_writing(arguments)):
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count:
            counter, self.count = self.count, ""
            with Path(counter).open("ab") as file:
                file.write(b".")
            self.count = counter


def different_states(calls: Sequence[str]) -> list[int]:
    """Return the numbers of the calls before which a kill leaves a new state.

    A sync and a failed call change nothing that remains after the process. If several writes go to the same file,
    SQLite's journal, only the first and the last one are kept: the important bytes are written at its beginning, at the
    end.
    """
    numbers = [1]
    for number in range(2, len(calls) + 1):
        earlier, previous, following = calls[max(number - 3, 0)], calls[number - 2], calls[number - 1]
        is_unchanged = previous.startswith(("fsync", "fdatasync")) or " = -1 " in previous
        is_inside = _written(previous) and _written(earlier) == _written(previous) == _written(following)
        if not (is_unchanged or (is_inside and number > 2)):
            numbers.append(number)
    return numbers


def _written(call: str) -> str:
    """Return the file to which the call writes; empty for another call."""
    return call.partition(",")[0] if call.startswith("pwrite64") else ""


def _has_tracer(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def _errors(log: Path) -> Path:
    return log.with_suffix(".err")


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    _, _, flags = arguments
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
