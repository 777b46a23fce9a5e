"""The instances of a Processing job, or the processes of one machine, as workers of a Dask cluster.

The scheduler runs on the first instance and assigns the tasks. Only the instances of one job can reach each other.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

PORT = 8786
SECONDS = 300  # instances start at different times
CONNECT_SECONDS = 20  # for a scheduler that already runs
LOOK_SECONDS = 5
# The folders on each worker's own instance.
INPUT_DIR, OUTPUT_DIR = "PREPROCESS_INPUT_DIR", "PREPROCESS_OUTPUT_DIR"


class ClusterError(Exception):
    """The workers cannot be reached, or too many of them have died."""


def read_hosts() -> tuple[list[str], str]:
    """Return all hosts in order, and this host, from SageMaker's file. Without the file, this is the only host."""
    path = Path(os.environ.get("SM_RESOURCE_CONFIG_FILE", "/opt/ml/config/resourceconfig.json"))
    if not path.is_file():
        return ["127.0.0.1"], "127.0.0.1"
    content = json.loads(path.read_text(encoding="utf-8"))
    return sorted(content["hosts"]), content["current_host"]


@contextmanager
def start_cluster(hosts: list[str], workers: int) -> Iterator[Client]:
    """Yield a client of the cluster on the first host. ``workers``: the number of processes on each host."""
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ClusterError("several workers need Dask: pip install distributed") from error
    host, _, port = hosts[0].partition(":")
    address = {"host": host, "scheduler_port": int(port or PORT)} if len(hosts) > 1 else {}
    try:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, **address) as cluster,
            Client(cluster) as client,
        ):
            client.wait_for_workers(workers * len(hosts), timeout=SECONDS)
            print(f"{workers * len(hosts)} workers are ready", flush=True)
            yield client
            if len(hosts) > 1:
                client.shutdown()  # the other hosts' workers, too
    except (TimeoutError, RuntimeError) as error:
        raise ClusterError(f"the workers cannot be reached: {error}") from error
    except KilledWorker as error:
        raise ClusterError(f"too many workers have died: {error}") from error


def work_for(first_host: str, workers: int) -> None:
    """Run this host's workers until the scheduler ends. Start them again if they are killed.

    Raise ClusterError if the scheduler does not start, or if the workers fail while it runs. If the scheduler ends
    early, the first host reports why.
    """
    host, _, port = first_host.partition(":")
    address = host, int(port or PORT)
    if not is_listening(address, SECONDS):
        raise ClusterError(f"{first_host} does not answer")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://{host}:{address[1]}"]
    options = ["--nworkers", str(workers), "--nthreads", "1", "--no-dashboard", "--death-timeout", str(CONNECT_SECONDS)]
    while (code := subprocess.run([*command, *options], check=False).returncode) and is_listening(address):
        if code > 0:
            raise ClusterError(f"the workers for {first_host} ended with {code}")
        print(f"the workers were killed by signal {-code} and start again", flush=True)


def is_listening(address: tuple[str, int], seconds: float = 0) -> bool:
    """Return True as soon as the address accepts connections; False if it does not within this number of seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(address, timeout=LOOK_SECONDS).close()
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        else:
            return True
