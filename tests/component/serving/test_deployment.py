"""Deployment, replacement and end of a model: the requested model is live, and no request is lost."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import mlops_cli
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.errors import MlopsError
from mlops_cli.processes.subreaper import LINUX
from mlops_cli.serving.control import LocalEndpoint, ServerState
from mlops_cli.serving.control_files import EndpointDirectory, Limits, is_locked
from tests.component.serving.conftest import Client, stopped
from tests.conftest import LIMIT_SECONDS, is_alive, links_into, wait_for

NAME = "dev-comments"


def deploy(endpoint: LocalEndpoint, package: Any) -> Any:
    return endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)


def folder_of(endpoint: LocalEndpoint) -> EndpointDirectory:
    return EndpointDirectory(endpoint.status().log.parent)


def worker_of(endpoint: LocalEndpoint) -> int | None:
    service = folder_of(endpoint).read_service()
    return service.worker if service else None


def test_before_the_first_deployment_the_endpoint_is_absent(make_endpoint: Any) -> None:
    endpoint = make_endpoint()
    status = endpoint.status()
    assert (status.state, status.pid, status.model_digest) == (ServerState.ABSENT, None, None)
    with pytest.raises(MlopsError, match="does not exist"):
        endpoint.invoke(b"{}", "application/json")
    endpoint.stop(1)


def test_a_deployment_returns_the_servers_status(make_endpoint: Any, packages: Any) -> None:
    endpoint, package = make_endpoint(), packages("text-0")
    status = deploy(endpoint, package)
    assert (status.state, status.model_digest, status.name) == (ServerState.IN_SERVICE, package.digest, NAME)
    assert endpoint.invocations_url == f"{status.url}/endpoints/{NAME}/invocations"
    answer = endpoint.invoke(b'{"instances": ["x"]}', "application/json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.seconds > 0
    repeated = deploy(endpoint, package)
    assert repeated == status, "what is in service already is left alone"


def test_the_endpoint_needs_nothing_of_where_the_model_came_from(
    make_endpoint: Any, packages: Any, connect: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "model.tar.gz"
    copy.write_bytes(packages("text-0").path.read_bytes())
    endpoint = make_endpoint()
    endpoint.deploy(copy, packages("text-0").digest, LIMIT_SECONDS)
    copy.unlink()
    worker = worker_of(endpoint)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: worker_of(endpoint) not in (None, worker))
    assert connect(endpoint).predict("late")


def test_another_digest_is_refused_and_the_old_model_stays(make_endpoint: Any, packages: Any) -> None:
    endpoint = make_endpoint()
    before = deploy(endpoint, packages("text-0"))
    with pytest.raises(MlopsError, match="is not the approved model"):
        endpoint.deploy(packages("text-1").path, packages("text-0").digest[::-1], LIMIT_SECONDS)
    assert endpoint.status() == before
    with pytest.raises(MlopsError, match="No such file"):
        endpoint.deploy(Path("nowhere.tar.gz"), "0" * 64, LIMIT_SECONDS)
    assert len(list(folder_of(endpoint).models.iterdir())) == 2, "the archive in service and its folder"


BROKEN = {
    "raises at import": "raise RuntimeError('the labels are missing')",
    "has no handlers": "x = 1",
    "ends the process": "import os; os._exit(3)",
    "never gets ready": "import time; time.sleep(600)",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_model_that_cannot_be_served_leaves_the_old_one_in_service(
    make_endpoint: Any,
    packages: Any,
    package_of: Any,
    with_code: Any,
    connect: Any,
    tmp_path: Path,
    code: str,
) -> None:
    endpoint = make_endpoint()
    before = deploy(endpoint, packages("text-0"))
    folder = tmp_path / "broken"
    with_code(copy_of(packages("plain").folder, folder), code)
    broken = package_of(folder)
    with pytest.raises(MlopsError, match=r"(?s)Log: .*server\.log\n  ") as caught:
        endpoint.deploy(broken.path, broken.digest, 2.5 if "sleep" in code else LIMIT_SECONDS)
    assert ("was not ready after" in caught.value.message) == ("sleep" in code)
    assert ("deploy in [time_limits]" in caught.value.hint) == ("sleep" in code)
    if "labels" in code:
        assert "RuntimeError: the labels are missing" in caught.value.message
    assert endpoint.status() == before
    assert connect(endpoint).predict("x")


def test_a_package_that_is_no_archive_is_refused(make_endpoint: Any, tmp_path: Path) -> None:
    from mlops_cli.files.hashing import digest_file

    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"not an archive")
    endpoint = make_endpoint()
    with pytest.raises(MlopsError, match="is no readable archive"):
        endpoint.deploy(path, digest_file(path), LIMIT_SECONDS)
    assert endpoint.status().state is ServerState.ABSENT
    assert not is_locked(folder_of(endpoint).supervisor_lock)


@pytest.mark.slow
def test_replacing_under_load_loses_no_request(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = make_endpoint(Limits(keep_alive_seconds=5))
    deploy(endpoint, packages("text-0"))
    digests = {packages(name).digest: bias for name, bias in (("text-0", 0.0), ("text-1", 0.5))}
    base, done = connect(endpoint).predict("x")[0]["label_0"], threading.Event()
    problems: list[object] = []
    answered = [0] * 8

    def ask(number: int) -> None:
        client = connect(endpoint)
        while not done.is_set():
            if number % 2:
                client = connect(endpoint)
            try:
                answer = client.ask("POST", "/invocations", {"instances": ["x"]})
                digest = answer.headers["x-amzn-sagemaker-custom-attributes"].removeprefix("model-digest=")
                value = answer.json()["predictions"][0]["label_0"]
            except (OSError, http.client.HTTPException, KeyError) as error:
                problems.append(error)
                client = connect(endpoint)
                continue
            if answer.status != 200 or abs(value - base - digests[digest]) > 1e-6:
                problems.append(answer)
            answered[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for name in ("text-1", "text-0", "text-1", "text-0"):
            status = deploy(endpoint, packages(name))
            assert status.model_digest == packages(name).digest
            fresh = endpoint.invoke(b'{"instances": ["x"]}', "application/json")
            assert fresh.headers["x-amzn-sagemaker-custom-attributes"].endswith(packages(name).digest)
    finally:
        done.set()
        for thread in threads:
            thread.join(LIMIT_SECONDS)
    assert problems == []
    assert min(answered) > 10


def test_a_replaced_worker_leaves_and_its_package_with_it(make_endpoint: Any, packages: Any) -> None:
    endpoint = make_endpoint()
    deploy(endpoint, packages("text-0"))
    old = worker_of(endpoint)
    deploy(endpoint, packages("text-1"))
    assert old is not None
    wait_for(lambda: not is_alive(old))
    wait_for(lambda: len(list(folder_of(endpoint).models.iterdir())) == 2)


@pytest.mark.slow
def test_a_killed_worker_is_started_again(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = make_endpoint()
    before = deploy(endpoint, packages("text-0"))
    for _ in range(2):
        worker = worker_of(endpoint)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        # The socket is the supervisor's: a client that comes meanwhile waits, and is answered.
        assert connect(endpoint).predict("x")
        wait_for(lambda worker=worker: worker_of(endpoint) not in (None, worker))
    status = endpoint.status()
    assert (status.state, status.pid, status.url) == (ServerState.IN_SERVICE, before.pid, before.url)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit another process")
def test_without_a_free_file_descriptor_the_server_waits(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = make_endpoint()
    before = deploy(endpoint, packages("text-0"))
    worker = worker_of(endpoint)
    assert worker is not None
    soft, hard = resource.prlimit(before.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(before.pid, resource.RLIMIT_NOFILE, (0, hard))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: "the worker cannot be started again" in before.log.read_text())
    resource.prlimit(before.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert connect(endpoint).predict("x")
    wait_for(lambda: worker_of(endpoint) not in (None, worker))
    assert endpoint.status().pid == before.pid


def test_a_worker_serves_though_that_cannot_be_written_down(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = make_endpoint()
    deploy(endpoint, packages("text-0"))
    client, worker, record = connect(endpoint), worker_of(endpoint), folder_of(endpoint).service
    assert worker is not None
    record.unlink()
    record.mkdir()  # so that no record can take its place
    os.kill(worker, signal.SIGKILL)
    assert client.predict("x")
    wait_for(lambda: "endpoint.json cannot be written" in endpoint.status().log.read_text())
    record.rmdir()


def test_a_deployment_that_cannot_be_written_down_leaves_the_old_model_in_service(
    make_endpoint: Any, packages: Any, connect: Any
) -> None:
    endpoint = make_endpoint()
    deploy(endpoint, packages("text-0"))
    client, record = connect(endpoint), folder_of(endpoint).service
    record.unlink()
    record.mkdir()
    with pytest.raises(MlopsError, match=r"The new server cannot be started: .*Is a directory"):
        deploy(endpoint, packages("text-1"))
    record.rmdir()
    answer = client.ask("POST", "/invocations", {"instances": ["x"]})
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == f"model-digest={packages('text-0').digest}"


def test_a_killed_supervisor_leaves_no_orphan_and_a_true_status(
    make_endpoint: Any, packages: Any, tmp_path: Path
) -> None:
    endpoint = make_endpoint(port=0)
    before = deploy(endpoint, packages("text-0"))
    worker = worker_of(endpoint)
    os.kill(before.pid, signal.SIGKILL)
    assert worker is not None
    wait_for(lambda: not is_alive(worker) and not is_alive(before.pid))
    if LINUX:
        wait_for(lambda: links_into(tmp_path) == [])
    # The kernel releases the lock when the last thread is gone, a moment after the process counts as dead.
    wait_for(lambda: endpoint.status().pid is None)
    dead = endpoint.status()
    assert (dead.state, dead.pid, dead.model_digest) == (ServerState.FAILED, None, None)
    assert "died" in dead.reason
    with pytest.raises(MlopsError, match="does not answer"):
        endpoint.invoke(b"{}", "application/json")
    after = deploy(endpoint, packages("text-1"))
    assert after.url == before.url
    assert after.model_digest == packages("text-1").digest


def test_a_supervisor_killed_while_it_starts_a_worker_leaves_nothing(
    make_endpoint: Any, packages: Any, package_of: Any, with_code: Any, tmp_path: Path
) -> None:
    endpoint = make_endpoint()
    folder = tmp_path / "slow"
    with_code(copy_of(packages("plain").folder, folder), "import time; time.sleep(600)")
    slow = package_of(folder)
    failures: list[MlopsError] = []

    def attempt() -> None:
        try:
            endpoint.deploy(slow.path, slow.digest, LIMIT_SECONDS)
        except MlopsError as error:
            failures.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    files = EndpointDirectory(endpoint.status().log.parent)
    wait_for(lambda: is_locked(files.workers_lock, shared=True))
    wait_for(lambda: endpoint.status().state is ServerState.UPDATING and endpoint.status().pid)
    os.kill(endpoint.status().pid or 0, signal.SIGKILL)
    thread.join(LIMIT_SECONDS)
    assert "died while it was starting" in failures[0].message
    wait_for(lambda: not is_locked(files.workers_lock, shared=True))
    assert endpoint.status().state is ServerState.ABSENT


def test_stopping_ends_everything_and_may_be_repeated(make_endpoint: Any, packages: Any) -> None:
    endpoint = make_endpoint()
    status = deploy(endpoint, packages("text-0"))
    worker = worker_of(endpoint)
    endpoint.stop(10)
    assert worker is not None and wait_for(lambda: not is_alive(worker) and not is_alive(status.pid))
    assert endpoint.status().state is ServerState.ABSENT
    assert is_refused(status.url)
    endpoint.stop(10)
    assert deploy(endpoint, packages("text-0")).state is ServerState.IN_SERVICE


def test_a_server_that_is_ended_answers_all_requests_that_have_arrived(make_endpoint: Any, packages: Any) -> None:
    endpoint = make_endpoint()
    status = deploy(endpoint, packages("text-0"))
    clients = [Client(status.url) for _ in range(20)]
    for client in clients[:10]:  # the connections of the others are new
        client.predict("before")
    body = json.dumps({"instances": ["sleep 0.1"]})
    with stopped(endpoint):
        for client in clients:
            client.connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        os.kill(status.pid or 0, signal.SIGTERM)
    answers = [client.connection.getresponse() for client in clients]
    assert [answer.status for answer in answers] == [200] * len(clients)
    assert answers[0].getheader("connection") == "close"
    wait_for(lambda: not is_alive(status.pid))


# Started by the package's code; it leaves its session, its parents and its environment.
DAEMON = """
import os, tempfile
from pathlib import Path
if not os.fork():
    os.setsid()
    if daemon := os.fork():
        Path(tempfile.gettempdir(), "daemon").write_text(f"{daemon}\\n")
        os._exit(0)
    os.closerange(0, 1000)
    os.execve("/bin/sleep", ["sleep", "600"], {})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_daemon_of_the_packages_code_ends_with_the_server(
    make_endpoint: Any, packages: Any, package_of: Any, tmp_path: Path, how: str
) -> None:
    endpoint = make_endpoint()
    folder = tmp_path / "daemon"
    inference = copy_of(packages("text-0").folder, folder) / "code" / "inference.py"
    inference.write_text(inference.read_text() + DAEMON)
    status = deploy(endpoint, package_of(folder))
    root = folder_of(endpoint).root
    wait_for(lambda: [note for note in root.glob("children/*/daemon") if note.read_text().endswith("\n")])
    daemon = int(next(root.glob("children/*/daemon")).read_text())
    assert is_alive(daemon)
    if how == "killed":
        os.kill(status.pid, signal.SIGKILL)
    endpoint.stop(10)
    assert not is_alive(daemon)
    assert not list(folder_of(endpoint).root.glob("children"))


def test_stopping_does_not_wait_for_a_hung_server(make_endpoint: Any, packages: Any) -> None:
    endpoint = make_endpoint()
    status = deploy(endpoint, packages("text-0"))
    worker = worker_of(endpoint)
    assert worker is not None
    for process in (status.pid, worker):
        os.kill(process, signal.SIGSTOP)
    endpoint.stop(0.5)
    assert not is_locked(folder_of(endpoint).workers_lock, shared=True)
    assert endpoint.status().state is ServerState.ABSENT


def test_a_taken_port_is_named_with_its_setting(make_endpoint: Any, packages: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        endpoint = make_endpoint(port=port)
        with pytest.raises(MlopsError, match=rf"Port {port} of 127\.0\.0\.1 \(ENDPOINT_PORT\) is taken") as caught:
            deploy(endpoint, packages("text-0"))
    assert "ENDPOINT_PORT=0" in caught.value.hint
    assert endpoint.status().state is ServerState.ABSENT


def test_the_port_can_be_changed_while_it_serves(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = make_endpoint()
    before = deploy(endpoint, packages("text-0"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    processes = LocalServerProcesses(before.log.parent)
    moved = LocalEndpoint(before.log.parent, NAME, processes, port=port, hosts=("model.example.org",))
    after = deploy(moved, packages("text-0"))
    assert after.url == f"http://127.0.0.1:{port}" != before.url
    assert connect(moved).ask("GET", "/ping", headers={"Host": "model.example.org"}).status == 200
    assert after.hosts == ("model.example.org",)
    wait_for(lambda: is_refused(before.url))


def test_the_server_survives_the_process_that_started_it(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint, package = make_endpoint(), packages("text-0")
    script = (
        "import sys; from pathlib import Path\n"
        "from mlops_cli.backends.local.server_processes import LocalServerProcesses\n"
        "from mlops_cli.serving.control import LocalEndpoint\n"
        "folder, name, port, model, digest = sys.argv[1:]\n"
        "processes = LocalServerProcesses(Path(folder))\n"
        "endpoint = LocalEndpoint(Path(folder), name, processes, port=int(port))\n"
        "print(endpoint.deploy(Path(model), digest, 300).pid)\n"
    )
    folder = endpoint.status().log.parent
    # A session of its own that ends: whatever hangs on the terminal would get a SIGHUP.
    done = subprocess.run(
        [sys.executable, "-c", script, folder, NAME, str(endpoint.port), package.path, package.digest],
        env={**os.environ, "PYTHONPATH": str(Path(mlops_cli.__file__).parents[1])},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    status = endpoint.status()
    assert (status.state, status.pid) == (ServerState.IN_SERVICE, int(done.stdout))
    assert connect(endpoint).predict("x")


def test_a_handler_that_never_ends_costs_a_restart_not_the_endpoint(
    make_endpoint: Any, packages: Any, connect: Any
) -> None:
    endpoint = make_endpoint(Limits(request_seconds=3))
    deploy(endpoint, packages("text-0"))
    worker = worker_of(endpoint)
    hung = connect(endpoint).ask("POST", "/invocations", {"instances": ["sleep 3600"]})
    assert hung.status == 504
    wait_for(lambda: worker_of(endpoint) not in (None, worker))
    assert connect(endpoint).predict("x")


def is_refused(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=LIMIT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def copy_of(source: Path, target: Path) -> Path:
    import shutil

    shutil.copytree(source, target)
    return target
