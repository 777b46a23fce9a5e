"""One worker process: it loads one model package and computes the requests that the front sends.

It runs as ``python -m mlops_cli.serving.worker.worker JSON`` and reports ``ready``, or ``failed`` with the reason, on
the socket of its requests. It ends with the supervisor, however the supervisor ends.
"""

from __future__ import annotations

import ctypes
import io
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mlops_cli.errors import MlopsError
from mlops_cli.serving.control_files import Deployment, EndpointDirectory, deployment_of, hold_lock
from mlops_cli.serving.http.frames import NEWS, Frame, pack_frame
from mlops_cli.serving.runtime.saved_model import ModelError
from mlops_cli.serving.runtime.tensorflow_c import TensorFlowError
from mlops_cli.serving.supervision.request_statistics import collect_statistics
from mlops_cli.serving.worker import handlers
from mlops_cli.serving.worker.batch import Invocation
from mlops_cli.serving.worker.handlers import Context
from mlops_cli.serving.worker.lane import Lane, free_rows
from mlops_cli.serving.worker.loading import LoadedModel, load_model
from mlops_cli.serving.worker.progress_board import ProgressBoard

log = logging.getLogger("mlops.server")

HANDLER_THREADS = 16
BEATS_IN_TAKEOVER = 8
REASON_CHARACTERS = 4000
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Task:
    """The command line: descriptors, folders, deployment, and the addresses of the model for a ``handler``."""

    requests: int  # socket of the requests
    predictions: int  # socket of the requests that a `handler` sends to the model
    board: int
    life: int  # closed when the supervisor is gone
    folder: Path
    package: Path
    deployment: Deployment
    public_uri: str
    private_uri: str

    @classmethod
    def parse(cls, text: str) -> Task:
        content = json.loads(text)
        paths = {name: Path(content[name]) for name in ("folder", "package")}
        return cls(**{**content, **paths, "deployment": deployment_of(content["deployment"])})


def main() -> None:
    task = Task.parse(sys.argv[1])
    for descriptor in (task.requests, task.predictions, task.board, task.life):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _die_with_supervisor()
    threading.Thread(target=_end_with_supervisor, args=(task.life,), daemon=True).start()
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level=logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    sys.dont_write_bytecode = True  # write no files into the package's folder
    channel = socket.socket(fileno=task.requests)
    try:
        with hold_lock(EndpointDirectory(task.folder).workers_lock, exclusive=False, seconds=10):
            if task.deployment.sample:
                collect_statistics(EndpointDirectory(task.folder).observed, task.package, task.deployment)
            deployment = task.deployment
            model = load_model(task.package, deployment.framework, deployment.limits, deployment.batching)
            board = ProgressBoard(task.board)
            model.warm_up(task.deployment.examples, board)
            _serve(task, channel, board, model)
    except (ModelError, TensorFlowError, MlopsError, OSError) as error:
        log.error("%s", error)
        _report(channel, ["failed", _one_line(str(error))])
        sys.exit(1)
    except Exception as error:
        # The package's inference.py is imported here: its traceback goes to the log, its message to the user. The log
        # is first, since the supervisor ends a worker that has reported its failure.
        log.exception("the model package cannot be loaded")
        _report(channel, ["failed", _one_line(f"{type(error).__name__}: {error}")])
        sys.exit(1)


def _serve(task: Task, channel: socket.socket, board: ProgressBoard, model: LoadedModel) -> NoReturn:
    """Start the threads, report ready, then watch the threads."""
    limits, rows = task.deployment.limits, free_rows()
    has_handler = model.predictions is not None
    read = _reader(task, task.private_uri if has_handler else task.public_uri)
    threads = HANDLER_THREADS if has_handler else 1
    lanes = [Lane(channel, model.requests, board, limits, read, threads, rows)]
    if model.predictions is not None:
        predictions = socket.socket(fileno=task.predictions)
        lanes.append(Lane(predictions, model.predictions, board, limits, read, 1, rows))
    _report(channel, ["ready", model.version, has_handler])
    while True:
        time.sleep(limits.takeover_seconds / BEATS_IN_TAKEOVER)
        board.beat()
        for lane in lanes:
            lane.look()


def _reader(task: Task, rest_uri: str) -> Callable[[Frame], Invocation]:
    """Return the function that makes a request from its frame (see http/routes.py)."""
    seconds = task.deployment.limits.request_seconds

    def read(frame: Frame) -> Invocation:
        kind, alone, custom, content_type, accept, length = frame.fields
        chosen = handlers.attributes(custom) if custom else {}
        context = Context(
            model_name=chosen.get("tfs-model-name", handlers.MODEL_NAME),
            model_version=chosen.get("tfs-model-version"),
            method=chosen.get("tfs-method"),
            rest_uri=rest_uri,
            grpc_port=None,
            channel=None,
            custom_attributes=custom,
            request_content_type=content_type,
            accept_header=accept,
            content_length=length,
            timeout=seconds,
        )
        return Invocation(frame.number, frame.body, context, kind == "predict", alone)

    return read


def _report(channel: socket.socket, fields: list[object]) -> None:
    channel.sendall(pack_frame(NEWS, fields))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:REASON_CHARACTERS]


def _die_with_supervisor() -> None:
    """Let Linux kill this process with its parent: a handler that holds Python's lock stops every thread here."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_supervisor(life: int) -> None:
    os.read(life, 1)
    os._exit(0)


if __name__ == "__main__":
    main()
