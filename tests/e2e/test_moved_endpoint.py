"""The endpoint's folder is removed, replaced or moved while it serves: the server ends, one command restores it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, wait_for

pytestmark = pytest.mark.slow


# The supervisor, the worker, and on Linux the subreaper.
SERVING = 3 if sys.platform == "linux" else 2


def servers(folder: Path) -> list[int]:
    """Return the processes of servers that were started in the folder, also after it was moved."""
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"mlops_cli.serving" in command and str(folder).encode() in command:
            pids.append(int(process.name))
    return pids


def remove(folder: Path) -> None:
    """Remove a folder, even if the server writes a file into it at this moment."""

    def is_removed() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_for(is_removed)


def replace_by_a_copy(endpoint: Path) -> None:
    shutil.copytree(endpoint, endpoint.with_name("data.copy"))
    remove(endpoint)
    endpoint.with_name("data.copy").rename(endpoint)


DISTURBANCES: dict[str, Callable[[Path], object]] = {
    "removed": remove,
    "moved away": lambda endpoint: endpoint.rename(endpoint.parents[1] / "elsewhere"),
    "replaced by a copy": replace_by_a_copy,
    "its lock removed": lambda endpoint: (endpoint / "supervisor.lock").unlink(),
}


def test_a_server_with_a_removed_folder_ends_and_one_command_restores_it(tiny: Cli) -> None:
    run_id = tiny.json("run")["id"]
    digest = tiny.json("approve", "--run-id", run_id, "--yes")["stages"][2]["output"]
    endpoint = tiny.folder / ".mlops" / "endpoint"
    for name, disturb in DISTURBANCES.items():
        assert len(servers(tiny.folder)) == SERVING, name
        disturb(endpoint)
        wait_for(lambda: servers(tiny.folder) == [])
        status = tiny.json("status")
        assert status["endpoint"]["state"] == "failed", name
        assert "mlops run --from deploy" in tiny("doctor", code=1), name
        assert tiny.json("run", "--from", "deploy")["status"] == "done", name
        live = tiny.json("test-endpoint")["endpoint"]
        assert (live["is_what_was_approved"], live["live_digest"]) == (True, digest), name
    shutil.rmtree(tiny.folder / "elsewhere")

    moved = Cli(tiny.folder.rename(tiny.folder.with_name("moved")))
    wait_for(lambda: servers(tiny.folder) == [])
    assert f"moved here from {tiny.folder}" in moved("status")
    assert moved.json("run", "--from", "deploy")["status"] == "done"
    assert moved.json("test-endpoint")["endpoint"]["live_digest"] == digest
    assert "verified: no resources created by mlops remain" in moved("cleanup", "--yes")
    wait_for(lambda: servers(moved.folder) == [])
    moved.folder.rename(tiny.folder)


def test_a_server_with_a_removed_state_folder_ends_and_frees_its_port(tiny: Cli) -> None:
    tiny.json("approve", "--run-id", tiny.json("run")["id"], "--yes")
    remove(tiny.folder / ".mlops")
    wait_for(lambda: servers(tiny.folder) == [])
    assert "nothing to remove" in tiny("cleanup", "--yes")
    tiny("download-data", "--source", "tiny.csv")
    assert tiny.json("approve", "--run-id", tiny.json("run")["id"], "--yes")["status"] == "done"
    assert len(servers(tiny.folder)) == SERVING
