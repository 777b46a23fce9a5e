"""The same model behind our endpoint and others: throughput, latency, memory, time to the first response.

    python -m benchmarks.serving --repeats 2 --model MODEL.tar.gz --source JIGSAW
    python -m benchmarks.serving --bilstm

Each server is started again for each repeat, all in turn. This process sends the load over connections that stay open,
with one text in each request. Memory is the private memory of a server's processes plus their share of the shared
memory (PSS, Linux). Environments are created on first use. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.comments import add_source, some_texts
from benchmarks.harness import CACHE, environment, machine, table
from benchmarks.load import Load, measure, request
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.model_archive import pack, unpack
from mlops_cli.serving.control import LocalEndpoint
from tests.conftest import free_port

ROOT = Path(__file__).resolve().parents[1]
TEXTS = 2000
SERVERS = Path(__file__).with_name("servers")
TENSORFLOW = "tensorflow-cpu>=2.20,<2.22"
START_SECONDS = 300
CONCURRENCY = (1, 8, 32)


@dataclass
class Server:
    """``command``: the server's command for a port; none for our own server. ``body``: makes a request from a text."""

    name: str
    path: str
    body: Callable[[str], object]
    command: Callable[[int], list[str]] | None = None
    environment: dict[str, str] = field(default_factory=dict)


OURS = Server("mlops", "/invocations", lambda text: {"instances": [text]})


@dataclass
class Measurements:
    first_answer: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    loads: dict[int, list[Load]] = field(default_factory=lambda: defaultdict(list))


QUIET = {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
ADDRESS = ("--host", "127.0.0.1", "--port")


def mlflow(folder: Path) -> Server:
    bin_folder = environment("serving-mlflow", "mlflow", TENSORFLOW)
    model = folder / "mlflow-model"
    write = [str(bin_folder / "python"), str(SERVERS / "flow.py"), str(model)]
    subprocess.run(write, check=True, capture_output=True)
    command = [str(bin_folder / "mlflow"), "models", "serve", "-m", str(model), "--env-manager", "local", *ADDRESS]
    return Server(
        "MLflow",
        "/invocations",
        lambda text: {"dataframe_split": {"columns": ["text"], "data": [[text]]}},
        lambda port: [*command, str(port)],
        {**QUIET, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
    )


def bentoml(folder: Path) -> Server:
    command = [str(environment("serving-bentoml", "bentoml", TENSORFLOW) / "bentoml"), "serve", "bento:Comments"]
    variables = {"PYTHONPATH": str(SERVERS), **QUIET}
    return Server(
        "BentoML", "/predict", lambda text: {"texts": [text]}, lambda port: [*command, *ADDRESS, str(port)], variables
    )


def litserve(folder: Path) -> Server:
    command = [str(environment("serving-litserve", "litserve", TENSORFLOW) / "python"), str(SERVERS / "lit.py")]
    return Server("LitServe", "/predict", lambda text: {"text": text}, lambda port: [*command, str(port)], QUIET)


def single(folder: Path) -> Server:
    """Return a plain FastAPI app, whose packages come with LitServe."""
    command = [str(environment("serving-litserve", "litserve", TENSORFLOW) / "python"), str(SERVERS / "single.py")]
    return Server(
        "one call per request", "/predict", lambda text: {"instances": [text]}, lambda port: [*command, str(port)]
    )


ALL: dict[str, Callable[[Path], Server]] = {
    OURS.name: lambda _: OURS,
    "MLflow": mlflow,
    "BentoML": bentoml,
    "LitServe": litserve,
    "one call per request": single,
}


def measure_server(
    server: Server, package: Path, model: Path, texts: list[str], seconds: float, measurements: Measurements
) -> None:
    """Start the server, wait for its first response, send each load, stop it."""
    port = free_port()
    requests = [request(port, server.path, json.dumps(server.body(text)).encode()) for text in texts]
    start = time.perf_counter()
    stop, group = run_ours(package, port) if server.command is None else run_other(server, port, model)
    try:
        await_answer(port, requests[:1], start)
        measurements.first_answer.append(time.perf_counter() - start)
        for connections in CONCURRENCY:
            measure(port, requests, connections, min(1.0, seconds))
            measurements.loads[connections].append(measure(port, requests, connections, seconds))
        measurements.memory.append(memory_mb(group))
    finally:
        stop()


def run_ours(package: Path, port: int) -> tuple[Callable[[], None], int]:
    folder = CACHE / "work" / f"endpoint-{port}"
    endpoint = LocalEndpoint(folder, "benchmark", LocalServerProcesses(folder), port=port)
    status = endpoint.deploy(package, digest_file(package), START_SECONDS)
    assert status.pid is not None
    return lambda: endpoint.stop(20), status.pid


def run_other(server: Server, port: int, model: Path) -> tuple[Callable[[], None], int]:
    assert server.command is not None
    env = {**os.environ, "BENCHMARK_MODEL": str(model), **server.environment}
    process = subprocess.Popen(
        server.command(port),
        cwd=SERVERS,
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def stop() -> None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):  # the whole group may be gone
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    return stop, process.pid


def await_answer(port: int, requests: list[bytes], start: float) -> None:
    while True:
        try:
            measure(port, requests, 1, 0.001)
            return
        except (OSError, EOFError, RuntimeError):
            if time.perf_counter() - start > START_SECONDS:
                raise
            time.sleep(0.02)


def memory_mb(group: int) -> float:
    """Return the PSS of all processes of a session in MB."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == group:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ProcessLookupError):
            continue
    return total / 1000


def in_process(model: Path, texts: list[str], calls: int = 300) -> dict[str, str]:
    """Measure the model in this process: the upper limit for all servers."""
    code = (
        "import json, sys, time, numpy as np; from pathlib import Path; from statistics import median\n"
        "from mlops_cli.serving.runtime.saved_model import Model\n"
        "folder, texts, calls = json.load(sys.stdin); model = Model(Path(folder), 1, 2)\n"
        "texts = np.array([text.encode() for text in texts], object); times = {}\n"
        "for size in (1, 8, 32):\n"
        "    times[size] = []\n"
        "    for n in range(calls):\n"
        "        batch = np.take(texts, range(n * size, n * size + size), mode='wrap')\n"
        "        start = time.perf_counter(); model.run({'text': batch})\n"
        "        times[size].append(time.perf_counter() - start)\n"
        "print(json.dumps({size: [1000 * median(runs), size / median(runs)] for size, runs in times.items()}))\n"
    )
    done = subprocess.run(
        *([sys.executable, "-c", code],),
        input=json.dumps([str(model.parent), texts, calls]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return {
        f"batch of {size}": f"{p50:.1f} ms, {rate:,.0f} texts/s"
        for size, (p50, rate) in json.loads(done.stdout).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, help="a model.tar.gz, or its folder; else the newest of .mlops/")
    model.add_argument("--bilstm", action="store_true", help="a stock bidirectional LSTM of the seed's size instead")
    add_source(parser)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", nargs="+", default=[], choices=ALL, metavar="SERVER", help=", ".join(ALL))
    arguments = parser.parse_args()
    folder = CACHE / "work" / "serving"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model_path = None if arguments.bilstm else chosen_model(arguments.model)
    texts = some_texts(arguments.source, arguments.sample_rows, TEXTS, folder / "texts")
    package = model_path or bilstm(folder / "bilstm", texts)
    if package.is_dir():
        pack(package, folder / "model.tar.gz")
        package = folder / "model.tar.gz"
    unpack(package, folder / "model")
    chosen = [ALL[name](folder) for name in arguments.only or ALL]
    measurements = {server.name: Measurements() for server in chosen}
    for turn in range(arguments.repeats):
        for server in chosen:
            measure_server(server, package, folder / "model" / "1", texts, arguments.seconds, measurements[server.name])
            print(
                f"turn {turn + 1}: {server.name}", *cells(measurements[server.name], None), file=sys.stderr, flush=True
            )
    print(f"{machine()}; median of {arguments.repeats}, {arguments.seconds:g} s each\n")
    limit = in_process(folder / "model" / "1", texts)
    print("In process: " + "; ".join(f"{name} {value}" for name, value in limit.items()) + "\n")
    reference = measurements.get("MLflow")
    loads = [f"{name} at {n}" for n in CONCURRENCY for name in ("requests/s", "p50 ms", "p99 ms")]
    columns = ["first answer s", "memory MB", *loads, "× MLflow at 32"]
    print(table("", columns, {name: cells(server, reference) for name, server in measurements.items()}))


def cells(measurements: Measurements, reference: Measurements | None) -> list[str]:
    shown = [f"{median(measurements.first_answer):.1f}", f"{median(measurements.memory):.0f}"]
    for loads in measurements.loads.values():
        shown += [f"{median(load.rate for load in loads):.0f}"]
        shown += [f"{median(load.p50 for load in loads):.1f}", f"{median(load.p99 for load in loads):.0f}"]
    if reference is None:
        return shown
    rates = [median(load.rate for load in server.loads[CONCURRENCY[-1]]) for server in (measurements, reference)]
    return [*shown, f"{rates[0] / rates[1]:.1f}"]


def bilstm(folder: Path, texts: list[str]) -> Path:
    """Build a model package without handlers."""
    command = [sys.executable, str(SERVERS / "bilstm.py"), str(folder / "1")]
    subprocess.run(command, input=json.dumps(texts), text=True, check=True)
    return folder


def chosen_model(path: Path | None) -> Path:
    """Return the named model, or the newest one that was trained in this folder."""
    if path is not None and not path.exists():
        raise SystemExit(f"There is no model {path}.")
    trained = sorted(ROOT.glob(".mlops/artifacts/train/*/model.tar.gz"), key=lambda file: file.stat().st_mtime)
    if path is None and not trained:
        raise SystemExit("No model was trained here yet: mlops quickstart. Or name one: --model. Or take --bilstm.")
    return path or trained[-1]


if __name__ == "__main__":
    main()
