"""Run one training job as several processes on this machine, each like a SageMaker host.

Each worker gets its identity in SageMaker's variables; a host name here includes a port. If one worker fails, the
others are ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

LOOK_SECONDS = 0.1
GRACE_SECONDS = 5.0


def run_workers(count: int, command: Sequence[str]) -> int:
    """Run the command ``count`` times. Return 0, or 1 as soon as one process has failed."""
    workers = start(count, command)
    signal.signal(signal.SIGTERM, lambda *_: end(workers))
    while True:
        codes = [worker.poll() for worker in workers]
        failed = next((index for index, code in enumerate(codes) if code), None)
        if failed is not None:
            print(f"worker {failed + 1} of {count} ended with exit code {codes[failed]}", flush=True)
            end(workers)
            return 1
        if all(code == 0 for code in codes):
            return 0
        time.sleep(LOOK_SECONDS)


def start(count: int, command: Sequence[str]) -> list[subprocess.Popen[bytes]]:
    """Start the workers. Show the output of the first one, and only the errors of the others."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    for host in hosts:
        resources = {"current_host": host, "hosts": hosts, "network_interface_name": "lo"}
        variables = {
            "SM_HOSTS": json.dumps(hosts),
            "SM_CURRENT_HOST": host,
            "SM_RESOURCE_CONFIG": json.dumps(resources),
        }
        output = None if host == hosts[0] else subprocess.DEVNULL
        workers.append(subprocess.Popen(command, env={**os.environ, **variables}, stdout=output))
    return workers


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return sorted(ports)


def end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Terminate the workers, then kill them: one may hang in an exchange with a dead worker."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
