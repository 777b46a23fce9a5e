"""Start every test without credentials, without settings from outside, and in an empty home folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import aws, aws_server
from mlops_cli.project.settings.catalog import SETTINGS

__all__ = ["aws", "aws_server"]

# Background jobs of a shell ignore SIGINT, and nohup ignores SIGHUP. What the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# For every wait on another process, however busy the machine is.
LIMIT_SECONDS = 600.0
SETTING_NAMES = {setting.name for setting in SETTINGS}
ROOT = Path(__file__).resolve().parent.parent
USE_CASES = ROOT / "tests" / "usecases"
SHARED = {"shared", "either", "account"}
"""Fixtures of a module whose tests go on with what the tests before have left."""
WITHOUT_AWS = [
    ROOT / "tests" / folder
    for folder in ("unit", "training", *(f"component/{part}" for part in ("cli", "data", "local", "report", "serving")))
]
"""Folders whose tests never use the simulated AWS."""
JIGSAW = ROOT.parent / "shared" / "data" / "jigsaw"


def pytest_configure() -> None:
    """Let commands end on Ctrl-C, even if the tests run in a shell's background and ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument, because all workers must collect the same names. An archive contains the time."""
    return argname if isinstance(val, bytes) else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spare `-m aws` the imports of tests that it does not run."""
    return True if config.option.markexpr == "aws" and collection_path in WITHOUT_AWS else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of the simulated AWS, group those that share a project, and put fast tests first.

    Groups that cannot be divided come before the other slow tests, so that no worker is idle at the end.
    """
    for item in items:
        if "aws_server" in getattr(item, "fixturenames", ()):
            item.add_marker("aws")
        if SHARED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: (is_slow(item), is_slow(item) and item.get_closest_marker("xdist_group") is None))


def is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clean the environment for a module's shared fixtures, too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "KAGGLE_", "MLFLOW_", "MLOPS_", "SM_", "ENDPOINT_")) or name in SETTING_NAMES:
                patch.delenv(name)
        patch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it in its workers
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def aws_simulator_options() -> list[str]:
    """Give the simulated AWS this project's model server and its lists of packages."""
    return [
        "--endpoint-server",
        "mlops_cli.rehearsal.model_server:ModelServer",
        "--locks",
        str(ROOT / "mlops_cli" / "locks"),
    ]


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """Copy this repository's use case into a new project."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "training", folder / "training", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def jigsaw() -> Path:
    """Return the real comments, if they are beside the checkout."""
    if not (JIGSAW / "train.csv.gz").is_file():
        pytest.skip("the real comments (../shared/data/jigsaw) are not on this machine")
    return JIGSAW


def _own_ports() -> Iterator[int]:
    """Yield this worker's own ports (of at most 14), below those that the kernel gives to outgoing connections."""
    session = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + session.randrange(8_000) + 1_000 * (worker % 14)
    yield from range(first, first + 1_000)


OWN_PORTS = _own_ports()


def free_port() -> int:
    """Return a port that nobody uses before the test does."""
    for port in OWN_PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError


class Cli:
    """`mlops` as a subprocess in one project, as a user calls it."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment or {}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {**pipes, "env": {**os.environ, **self.environment}, **options}
        command = [sys.executable, "-m", "mlops_cli", *arguments]
        return subprocess.Popen(command, cwd=self.folder, text=True, **options)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Return the output on stdout. If the exit code is not ``code``, fail and show both streams."""
        out, err = self.both(*arguments, code=code)
        return out if code == 0 else out + err

    def both(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == code, f"mlops {arguments} ended with {process.returncode}\n{out}\n{err}"
        return out, err

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Return the JSON on stdout. Fail if there is anything else."""
        return json.loads(self.both(*arguments, "--json", code=code)[0])

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in a file of the use case."""
        path = self.folder / "training" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def accept_slow_answers(self) -> None:
        """Let the comments' gate accept the answer times of a machine that runs other tests, too."""
        self.edit("usecase.toml", "max_p99_ms = 250", "max_p99_ms = 10_000")

    def live(self, *arguments: str) -> dict[str, Any]:
        """Return a run whose model is live. In a shared project it may be live already."""
        run = self.json("run", *arguments)
        return dict(run if run["status"] == "done" else self.json("approve", "--run-id", run["id"], "--yes"))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one worker creates for all. ``make`` gets a folder that does not exist yet."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, partial = root / name, root / f"{name}.partial"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model folder for TensorFlow Serving. Its creation needs TensorFlow's import."""
    script = str(USE_CASES / "tensorflow_model.py")
    return made_once(
        tmp_path_factory, "tiny-model", lambda folder: subprocess.run([sys.executable, script, folder], check=True)
    )


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Cli]:
    with tiny_project(tmp_path / "tiny") as cli:
        yield cli


@contextlib.contextmanager
def tiny_project(folder: Path) -> Iterator[Cli]:
    """Provide a project with the tiny use case and its data. At the end, stop everything that it has started."""
    shutil.copytree(USE_CASES / "tiny" / "training", folder / "training")
    rows = "".join(f"{number},text number {number},{number % 2}\n" for number in range(20))
    (folder / "tiny.csv").write_text("id,text,long\n" + rows)
    (folder / ".env").write_text(f"ENDPOINT_PORT={free_port()}\n")
    cli = Cli(folder)
    cli("download-data", "--source", "tiny.csv")
    cli("deploy-infra")
    yield cli
    cli("cleanup", "--yes")


def is_alive(pid: int) -> bool:
    """Return True if the process runs; a zombie that is not collected yet does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has just gone; or this system has no /proc
        return not Path("/proc/self").exists()
    return state != "Z"


def links_into(folder: Path) -> list[str]:
    """Return the short links that lead into the folder, including broken ones."""
    links = Path("/tmp").glob("mlops-*")
    return [str(link) for link in links if os.path.realpath(link).startswith(f"{folder.resolve()}/")]


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return the first true value of ``condition``. Fail the test if there is none in time."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value
