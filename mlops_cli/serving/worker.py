"""One worker process: loads one model package, serves it on the supervisor's socket, drains before it leaves.

It runs as ``python -m mlops_cli.serving.worker JSON`` and reports its state on a pipe, one line each: ``ready``,
``draining``, or ``failed`` with the reason. It ends with the supervisor, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.model_archive import unpack
from mlops_cli.serving.control_files import Deployment, EndpointDirectory, deployment_of, hold_lock
from mlops_cli.serving.handlers import MODEL_NAME
from mlops_cli.serving.http_api import Serving, create_app
from mlops_cli.serving.loading import LoadedModel, load_model
from mlops_cli.serving.protocol import BoundedProtocol
from mlops_cli.serving.request_statistics import collect_statistics
from mlops_cli.serving.runtime.saved_model import ModelError
from mlops_cli.serving.runtime.tensorflow_c import TensorFlowError

log = logging.getLogger("mlops.server")

EXIT_STUCK = 70
# A drained worker leaves after so many checks, a tenth of a second apart, without a connection: a connection
# that the kernel had already handed over may appear late.
QUIET_LOOKS = 3


@dataclass(frozen=True)
class Task:
    """The command line: descriptors of the listening socket and of the two pipes, folder, deployment."""

    listener: int
    news: int  # written by the worker
    life: int  # closed when the supervisor is gone
    folder: Path
    deployment: Deployment

    @classmethod
    def parse(cls, text: str) -> Task:
        content = json.loads(text)
        return cls(
            *(content["listener"], content["news"], content["life"]),
            Path(content["folder"]),
            deployment_of(content["deployment"]),
        )


class Server(uvicorn.Server):
    """uvicorn with other signals. SIGTERM: accept nothing more, leave after the last client. SIGINT: leave now."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, serving: Serving, news: int) -> None:
        super().__init__(config)
        self._listener = listener
        self._serving = serving
        self._news = news
        self._drained: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._drain)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        say(self._news, "ready")

    def _drain(self) -> None:
        if self._drained is None:
            # Not Server.close: asyncio would drop connections that are accepted but not yet set up.
            asyncio.get_running_loop().remove_reader(self._listener)
            self._serving.draining = True
            say(self._news, "draining")
            self._drained = asyncio.create_task(self._leave())

    def _stop(self) -> None:
        """Leave as soon as the requests in progress are answered."""
        self.should_exit = True

    async def _leave(self) -> None:
        # By now asyncio has set up every accepted connection, and the socket can be closed:
        # if the address is given up, the next client must be refused, not left waiting in the queue.
        await asyncio.sleep(0.1)
        self.servers[0].close()
        quiet = 0
        while quiet < QUIET_LOOKS:
            await asyncio.sleep(0.1)
            quiet = 0 if self.server_state.connections else quiet + 1
        self.should_exit = True


def main() -> None:
    task = Task.parse(sys.argv[1])
    threading.Thread(target=_end_with_supervisor, args=(task.life,), daemon=True).start()
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level=logging.INFO)
    folder = EndpointDirectory(task.folder)
    try:
        with hold_lock(folder.workers_lock, exclusive=False, seconds=10):
            package = _unpacked(folder, task.deployment)
            asyncio.run(_serve(task, package))
    except (ModelError, TensorFlowError, MlopsError, OSError) as error:
        log.error("%s", error)
        say(task.news, f"failed {error}")
        sys.exit(1)
    except Exception as error:
        # The package's inference.py is imported here: its traceback goes to the log, its message to the user.
        say(task.news, f"failed {type(error).__name__}: {error}")
        raise


def say(news: int, line: str) -> None:
    os.write(news, f"{' '.join(line.split())[:4000]}\n".encode())


def _end_with_supervisor(life: int) -> None:
    os.read(life, 1)
    os._exit(0)


def _unpacked(folder: EndpointDirectory, deployment: Deployment) -> Path:
    """Return the unpacked package's folder, from the very bytes with the requested digest."""
    archive, target = folder.package(deployment.id), folder.unpacked(deployment.id)
    actual = digest_file(archive)
    if actual != deployment.digest:
        raise ModelError(f"the model package has the digest {actual}, not the {deployment.digest} that was asked for")
    shutil.rmtree(target, ignore_errors=True)
    unpack(archive, target)
    return target


async def _serve(task: Task, package: Path) -> None:
    limits = task.deployment.limits
    if task.deployment.sample:
        collect_statistics(EndpointDirectory(task.folder).observed, package, task.deployment)
    model = load_model(package, task.deployment.framework, limits)
    await _warm_up(model, task.deployment.examples)
    listener = socket.socket(fileno=task.listener)
    listener.setblocking(False)
    # A package's `handler` calls the model over HTTP: on a port that stays this worker's own.
    private = [socket.create_server(("127.0.0.1", 0))] if model.calls_itself else []
    port = (private or [listener])[0].getsockname()[1]
    serving = Serving(
        invoker=model.predictor,
        limits=limits,
        endpoint=task.deployment.name,
        digest=task.deployment.digest,
        version=model.version,
        rest_uri=f"http://127.0.0.1:{port}/v1/models/{MODEL_NAME}:predict",
        on_stuck=_report_failure,
    )
    BoundedProtocol.read_seconds = limits.read_seconds
    config = uvicorn.Config(
        create_app(serving),
        loop="asyncio",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(limits.keep_alive_seconds),
        timeout_graceful_shutdown=5,
    )
    await Server(config, listener, serving, task.news).serve([listener, *private])


async def _warm_up(model: LoadedModel, examples: str) -> None:
    """Send the use case's examples: a model's first call is slow. A failure is no reason not to serve the model."""
    if not examples or model.calls_itself:
        return
    try:
        await model.answer_examples(examples)
    except Exception as error:  # noqa: BLE001 - handlers are user code, and the examples may be of another model
        log.warning("the model does not answer the examples of usecase.toml: %s", error)


def _report_failure() -> None:
    """End the worker if a handler or the model hangs: only a new process helps. Send the answers first."""
    log.critical("a request never ended; the worker starts afresh")
    asyncio.get_running_loop().call_later(0.5, os._exit, EXIT_STUCK)


if __name__ == "__main__":
    main()
