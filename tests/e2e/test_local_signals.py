"""A signal to any long command ends all its processes, and the command names the next one to run."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import LIMIT_SECONDS, Cli, is_alive, wait_for
from tests.e2e.test_local_interruptions import processes_of
from tests.harness.lifecycle import hold, reached

pytestmark = pytest.mark.slow

HELPER = """
import subprocess
helper = subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL)
with open(FOLDER / "reached-helpers", "a") as helpers:
    helpers.write(f"{helper.pid} ")

FOLDER = FOLDER"""


def end(cli: Cli, begun: Path, sign: signal.Signals, *command: str) -> str:
    """Send the signal to the command as soon as ``begun`` exists. Return its output."""
    begun.unlink(missing_ok=True)
    with cli.start(*command) as process:
        wait_for(begun.exists)
        process.send_signal(sign)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 128 + sign, out + err
    assert "Traceback" not in err
    assert "\nhint: " in f"\n{err}"
    helpers = (cli.folder / "training" / "reached-helpers").read_text().split()
    assert helpers
    assert [pid for pid in helpers if is_alive(int(pid))] == [], command
    assert processes_of(cli) == {}, command
    assert not list(cli.folder.glob(".mlops/children/*")), command
    return out + err


@contextmanager
def mute_server(begun: Path) -> Iterator[str]:
    """Provide a server that sends the beginning of a file and then nothing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"id,text,long\n")
            self.wfile.flush()
            begun.touch()
            ended.wait(LIMIT_SECONDS)

        def log_message(self, *_: object) -> None: ...

    ended = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tiny.csv"
        finally:
            ended.set()
            server.shutdown()


PAUSED = """
import signal, sys
from pathlib import Path
from mlops_cli.backends.local.endpoint import LocalServedEndpoint
from mlops_cli.backends.local.infrastructure import LocalInfrastructure
from mlops_cli.backends.local.models.local_models import LocalModels
from mlops_cli.backends.local.runs.local_runs import LocalRuns
from mlops_cli.__main__ import main

def pause(self, *arguments):
    Path("paused").touch()
    signal.pause()

LocalInfrastructure.deploy = LocalRuns.get = LocalServedEndpoint.request_statistics = pause
LocalModels.list_versions = pause
main()
"""


@pytest.mark.parametrize("command", ["deploy-infra", "report", "drift", "models"])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_command_has_its_exit_code(
    project_folder: Path, command: str, sign: signal.Signals
) -> None:
    if command != "deploy-infra":
        Cli(project_folder)("deploy-infra")
    argv, pipe = [sys.executable, "-c", PAUSED, command], subprocess.PIPE
    with subprocess.Popen(argv, cwd=project_folder, stdout=pipe, stderr=pipe, text=True) as process:
        wait_for((project_folder / "paused").exists)
        process.send_signal(sign)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 128 + sign
    assert "Traceback" not in err
    assert f"repeat mlops {command}" in err


def test_a_signal_to_a_command_ends_all_that_it_has_started(tiny: Cli) -> None:
    tiny.edit("hold.py", "def hold(", f"{HELPER}.resolve()\n\n\ndef hold(")
    tiny.edit("usecase.toml", 'source = "sample"\nfile = "tiny.csv"', 'source = "tiny.csv"')
    held = hold(tiny, "train")
    end(tiny, reached(tiny, "train"), signal.SIGTERM, "quickstart", "--yes")
    held.unlink()
    reader, writer = os.pipe()
    os.close(reader)  # as `mlops run | head -1` leaves it
    with tiny.start("run", stdout=writer) as process:
        assert process.wait(LIMIT_SECONDS) == 0
    os.close(writer)
    run = tiny.json("run")
    assert (run["status"], run["changed"]) == ("waiting", False)
    run_id = run["id"]

    held = hold(tiny, "train")
    output = end(tiny, reached(tiny, "train"), signal.SIGHUP, "reproduce")
    assert "the run is unchanged" in output
    held.unlink()

    held = hold(tiny, "post-training-tests")
    end(tiny, reached(tiny, "post-training-tests"), signal.SIGHUP, "approve", "--run-id", run_id, "--yes")
    end(tiny, reached(tiny, "post-training-tests"), signal.SIGTERM, "approve", "--run-id", run_id, "--yes")
    held.unlink()
    assert tiny.json("approve", "--run-id", run_id, "--yes")["status"] == "done"

    held = hold(tiny, "post-training-tests")
    end(tiny, reached(tiny, "post-training-tests"), signal.SIGTERM, "test-endpoint")
    held.unlink()

    before = tiny.json("download-data", "--source", "tiny.csv")["sha256"]
    begun = tiny.folder / "begun"
    with mute_server(begun) as url:
        for sign in (signal.SIGTERM, signal.SIGHUP):
            end(tiny, begun, sign, "download-data", "--source", url)
    assert tiny.json("download-data", "--source", "tiny.csv")["sha256"] == before
