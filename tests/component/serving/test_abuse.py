"""Hostile handlers and clients: each affects only its own request or connection, and the endpoint reports why."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest

from mlops_cli.core.endpoint import Endpoint, EndpointState
from mlops_cli.serving.control import LocalEndpoint, ServerState
from mlops_cli.serving.control_files import EndpointDirectory, Limits, is_locked
from mlops_cli.serving.supervision.log_file import LOG_BYTES
from tests.conftest import LIMIT_SECONDS, is_alive, wait_for

HOSTILE = """
import asyncio, ctypes, json, os, re, signal, sys, time
from pathlib import Path

def act(text):
    if text == "exit":
        os._exit(3)
    elif text == "segfault":
        ctypes.string_at(0)
    elif text == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif text == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    elif text == "hang":
        time.sleep(3600)
    elif text == "spin":  # holds Python's lock: no other thread of the process moves
        re.match("(a|aa)*b", "a" * 60)
    elif text == "cancel":
        raise asyncio.CancelledError
    elif text == "interrupt":
        raise KeyboardInterrupt
    elif text == "memory":
        bytearray(1 << 60)
    elif text == "flood":
        for _ in range(300):
            sys.stdout.write("x" * 99_999 + "\\n")
    elif text == "pause":
        time.sleep(0.2)
    elif text == "file":
        return Path(__file__).with_name("late.txt").read_text()
    return text
"""
HANDLERS = {
    "in a batch": HOSTILE
    + """
def input_handler(data, context):
    body = data.read()
    for text in json.loads(body)["instances"]:
        act(text)
    return body

def output_handler(response, context):
    return response.content, "application/json"
""",
    "alone": HOSTILE
    + """
import urllib.request

def handler(data, context):
    body = data.read()
    texts = [act(text) for text in json.loads(body)["instances"]]
    request = urllib.request.Request(context.rest_uri, body, {"Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request, timeout=60))
    return json.dumps({**answer, "texts": texts}), "application/json"
""",
}
# Long enough for an innocent request on a busy machine, also while a worker starts again.
LIMITS = Limits(takeover_seconds=0.3)
HANGING_SECONDS = 12


@pytest.fixture(scope="module")
def hostile_package(packages: Any, package_of: Any, with_code: Any, tmp_path_factory: Any) -> Callable[[str], Any]:
    """Provide packages whose handlers do what the texts of a request say. Each is built once."""

    @cache
    def make(handlers: str) -> Any:
        folder = tmp_path_factory.mktemp("hostile") / "package"
        shutil.copytree(packages("plain").folder, folder)
        with_code(folder, HANDLERS[handlers])
        return package_of(folder)

    return make


@pytest.fixture
def hostile(hostile_package: Any) -> Any:
    return hostile_package("in a batch")


def served(endpoint: LocalEndpoint, package: Any) -> LocalEndpoint:
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    return endpoint


def ask(connect: Any, endpoint: LocalEndpoint, text: str) -> int:
    return int(connect(endpoint).ask("POST", "/invocations", {"instances": [text]}).status)


def ask_all(connect: Any, endpoint: LocalEndpoint, texts: list[str]) -> list[int]:
    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(lambda text: ask(connect, endpoint, text), texts))


def files_of(endpoint: LocalEndpoint) -> EndpointDirectory:
    return EndpointDirectory(endpoint.status().log.parent)


def worker_of(endpoint: LocalEndpoint) -> int | None:
    service = files_of(endpoint).read_service()
    return service.worker if service else None


FATAL = {"in a batch": ("exit", "segfault", "kill", "terminate"), "alone": ("exit",)}


@pytest.mark.slow
@pytest.mark.parametrize("handlers", HANDLERS)
def test_a_request_that_crashes_or_raises_is_the_only_one_that_fails(
    make_endpoint: Any, hostile_package: Any, connect: Any, handlers: str
) -> None:
    endpoint = served(make_endpoint(LIMITS), hostile_package(handlers))
    harmless = dict.fromkeys(("cancel", "interrupt", "memory"), 500)
    for text, status in {**harmless, **dict.fromkeys(FATAL[handlers], 502)}.items():
        statuses = ask_all(connect, endpoint, ["pause"] * 3 + [text] + ["pause"] * 3)
        assert statuses == [200] * 3 + [status] + [200] * 3, text
    wait_for(lambda: endpoint.status().state is ServerState.IN_SERVICE)
    status = endpoint.status()
    # A request that was being computed beside the fatal one is innocent: so the fatal one is tried again, by itself.
    assert len(FATAL[handlers]) <= len(status.incidents) <= 3 * len(FATAL[handlers])
    assert all("was started again" in incident for incident in status.incidents)
    answer = connect(endpoint).ask("POST", "/endpoints/dev-comments/invocations", {"instances": ["exit"]})
    assert (answer.status, answer.json()["OriginalStatusCode"]) == (424, 0)
    assert ask(connect, endpoint, "x") == 200


@pytest.mark.slow
@pytest.mark.parametrize("handlers", HANDLERS)
def test_requests_that_hang_delay_no_others_and_the_worker_is_replaced(
    make_endpoint: Any, hostile_package: Any, connect: Any, handlers: str
) -> None:
    limits = Limits(request_seconds=HANGING_SECONDS, takeover_seconds=0.3)
    endpoint = served(make_endpoint(limits), hostile_package(handlers))
    worker = worker_of(endpoint)
    with ThreadPoolExecutor(20) as pool:
        hanging = [pool.submit(ask, connect, endpoint, "hang") for _ in range(20)]
        assert ask_all(connect, endpoint, ["x"] * 5) == [200] * 5
        assert worker_of(endpoint) == worker, "they were answered beside the ones that hang"
        assert [future.result() for future in hanging] == [504] * 20
        wait_for(lambda: worker_of(endpoint) not in (None, worker))
    assert ask(connect, endpoint, "x") == 200
    status = endpoint.status()
    assert (
        status.state is ServerState.IN_SERVICE
        and f"was not answered within {HANGING_SECONDS} s" in status.incidents[-1]
    )
    wait_for(lambda: len(list(files_of(endpoint).models.iterdir())) == 2)  # the old worker has left


@pytest.mark.slow
def test_a_request_that_blocks_the_process_loses_no_other_request(
    make_endpoint: Any, hostile: Any, connect: Any
) -> None:
    endpoint = served(make_endpoint(LIMITS), hostile)
    with ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(ask, connect, endpoint, "spin")
        assert ask_all(connect, endpoint, ["x"] * 5) == [200] * 5
        wait_for(lambda: endpoint.status().incidents)
        assert "did not react" in endpoint.status().incidents[-1]
        assert endpoint.status().state is ServerState.IN_SERVICE
        os.kill(endpoint.status().pid or 0, signal.SIGKILL)
        assert spinning.exception() is not None
        lock = files_of(endpoint).workers_lock
        wait_for(lambda: not is_locked(lock, shared=True))  # the one that spins is gone, too


def test_a_handler_that_prints_without_end_does_not_fill_the_disk(
    make_endpoint: Any, hostile: Any, connect: Any
) -> None:
    endpoint = served(make_endpoint(), hostile)
    assert ask_all(connect, endpoint, ["flood", "x"]) == [200, 200]
    log = endpoint.status().log
    sizes = [path.stat().st_size for path in log.parent.glob("server.log*")]
    assert len(sizes) == 2 and max(sizes) < LOG_BYTES + 200_000


@pytest.mark.slow
def test_a_killed_worker_loses_at_most_the_requests_in_progress(make_endpoint: Any, hostile: Any, connect: Any) -> None:
    endpoint = served(make_endpoint(), hostile)
    done, statuses = threading.Event(), Counter[int]()

    def load() -> None:
        client = connect(endpoint)
        while not done.is_set():
            statuses[client.ask("POST", "/invocations", {"instances": ["x"]}).status] += 1

    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load) for _ in range(8)]
        for least in (50, 100):
            wait_for(lambda least=least: statuses[200] > least)
            worker = worker_of(endpoint)
            assert worker is not None
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda worker=worker: worker_of(endpoint) not in (None, worker))
        done.set()
        for future in loads:
            future.result()
    assert set(statuses) <= {200, 502} and statuses[502] <= 2, statuses


def test_files_changed_on_disk_are_reported_and_never_loaded(make_endpoint: Any, hostile: Any, connect: Any) -> None:
    endpoint = served(make_endpoint(), hostile)
    approved = endpoint.status()
    (code,) = files_of(endpoint).models.glob("*/code")
    (code / "late.txt").write_text("changed")
    (code / "json.py").write_text("raise SystemExit")
    names = ("code/json.py", "code/late.txt")
    assert wait_for(lambda: endpoint.status().changed_files) == names
    shown = Endpoint("e", EndpointState.IN_SERVICE, "", hostile.digest, hostile.digest, changed_files=names)
    assert not shown.is_approved
    assert (
        "whose files were changed on disk: code/json.py, code/late.txt"
        in Endpoint(
            "e", EndpointState.IN_SERVICE, "", hostile.digest, hostile.digest, "", "", hostile.digest, "", names
        ).served
    )
    os.kill(worker_of(endpoint) or 0, signal.SIGKILL)
    assert ask(connect, endpoint, "file") == 200
    wait_for(lambda: not endpoint.status().changed_files)  # the next worker has the approved files again
    (archive,) = files_of(endpoint).models.glob("*.tar.gz")
    archive.write_bytes(archive.read_bytes() + b"x")
    assert wait_for(lambda: endpoint.status().changed_files) == (archive.name,)
    os.kill(worker_of(endpoint) or 0, signal.SIGKILL)
    wait_for(lambda: "was changed" in endpoint.status().reason)
    assert endpoint.status().state is ServerState.FAILED
    assert ask(connect, endpoint, "x") == 503
    healed = endpoint.deploy(hostile.path, hostile.digest, LIMIT_SECONDS)
    assert (healed.pid, healed.model_digest, healed.changed_files) == (approved.pid, hostile.digest, ())
    assert ask(connect, endpoint, "x") == 200


def test_a_server_whose_folder_is_removed_or_moved_ends(make_endpoint: Any, packages: Any) -> None:
    removed, moved = (served(make_endpoint(), packages("plain")) for _ in range(2))
    pids = [endpoint.status().pid or 0 for endpoint in (removed, moved)]
    folders = [files_of(endpoint).root for endpoint in (removed, moved)]
    workers = [worker_of(endpoint) or 0 for endpoint in (removed, moved)]
    shutil.rmtree(folders[0])
    target = folders[1].rename(folders[1].with_name("moved"))
    wait_for(lambda: not any(is_alive(pid) for pid in (*pids, *workers)))
    service = EndpointDirectory(target).read_service()
    assert service is not None and "was moved here" in service.reason
    folders[0].mkdir()  # as the end of the test expects it
    folders[1].mkdir()
