"""Servers of tiny models. The tests of a session share one; tests that break a server get their own."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.files.model_archive import pack
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.control_files import Limits
from tests.conftest import LIMIT_SECONDS, free_port

NAME = "dev-comments"

# {"instances": [...]} with words that make the handler misbehave.
INFERENCE = """
import json, os, time
from pathlib import Path
import falcon

NAMES = json.loads(Path(__file__).with_name("names.json").read_text())

def input_handler(data, context):
    if context.request_content_type.partition(";")[0] != "application/json":
        raise falcon.HTTPUnsupportedMediaType(description="only application/json")
    try:
        instances = json.loads(data.read())["instances"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise falcon.HTTPBadRequest(description="no instances") from error
    for text in instances if isinstance(instances, list) else []:
        if not isinstance(text, str):
            continue
        if text.startswith("sleep "):
            time.sleep(float(text.split()[1]))
        if text.startswith("wait for "):
            while not os.path.exists(text.removeprefix("wait for ")):
                time.sleep(0.02)
        if text == "bug":
            raise KeyError("a bug in the handler")
        if text == "exit":
            raise SystemExit(4)
        if text == "late":
            Path(__file__).with_name("late.txt").read_text()
    return json.dumps({"instances": instances})

def output_handler(response, context):
    rows = response.json()["predictions"]
    return json.dumps({"predictions": [dict(zip(NAMES, row)) for row in rows]}), "application/json"
"""


@dataclass(frozen=True)
class Package:
    """A model package. ``folder``: its packed files."""

    path: Path
    digest: str
    folder: Path


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float = 0.0

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """One keep-alive connection to a server."""

    base: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base)
        self.connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=LIMIT_SECONDS)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> Answer:
        if isinstance(body, dict | list):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        self.connection.request(method, path, body, headers or {}, **options)
        response = self.connection.getresponse()
        content = response.read()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)

    def predict(self, *texts: str) -> list[dict[str, float]]:
        answer = self.ask("POST", "/invocations", {"instances": list(texts)})
        assert answer.status == 200, answer
        return answer.json()["predictions"]


def save_text_model(folder: Path, bias: float) -> None:
    """Save a model: strings [n] -> probabilities [n, 6], a hash of the text. ``bias`` distinguishes versions.

    For the text "fail" the graph itself fails.
    """
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self) -> None:
            self.steps = tf.Variable(tf.range(6, dtype=tf.float32) / 100)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def serve(self, text: Any) -> dict[str, Any]:
            tf.debugging.assert_none_equal(text, "fail", message="this text fails")
            share = tf.cast(tf.strings.to_hash_bucket_fast(text, 997), tf.float32) / 9970.0
            return {"probabilities": share[:, None] + self.steps[None, :] + bias}

    module = Model()
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.serve})


def save_table_model(folder: Path) -> None:
    """Save a model with two named inputs of numbers and two outputs, one of them strings."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 3], tf.float32, name="features"),
                tf.TensorSpec([None], tf.int64, name="count"),
            ]
        )
        def serve(self, features: Any, count: Any) -> dict[str, Any]:
            total = tf.reduce_sum(features, axis=1) * tf.cast(count, tf.float32)
            return {"total": total, "shown": tf.strings.as_string(count)}

    module = Model()
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.serve})


def add_code(folder: Path, inference: str = INFERENCE) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(inference)
    (folder / "code" / "names.json").write_text(json.dumps([f"label_{i}" for i in range(6)]))
    (folder / "code" / "late.txt").write_text("read at request time")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Package]:
    """Build each package once: ``text-0`` and ``text-1`` with handlers, ``plain`` without, ``table``."""
    root = tmp_path_factory.mktemp("packages")
    packages: dict[str, Package] = {}

    def get(name: str) -> Package:
        if name not in packages:
            folder = root / name
            folder.mkdir()
            if name == "table":
                save_table_model(folder)
            else:
                save_text_model(folder, bias=0.5 if name == "text-1" else 0.0)
            if name.startswith("text"):
                add_code(folder)
            packages[name] = packed(folder)
        return packages[name]

    return get


def packed(folder: Path) -> Package:
    path = folder.with_name(f"{folder.name}.tar.gz")
    return Package(path, pack(folder, path), folder)


@pytest.fixture(scope="session")
def package_of() -> Callable[[Path], Package]:
    return packed


@pytest.fixture(scope="session")
def with_code() -> Callable[[Path, str], None]:
    return add_code


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, packages: Callable[[str], Package]) -> Iterator[LocalEndpoint]:
    """Provide a server of ``text-0`` to all tests of the session. None of them breaks it."""
    folder = tmp_path_factory.mktemp("shared")
    endpoint = LocalEndpoint(folder, NAME, LocalServerProcesses(folder), port=free_port())
    package = packages("text-0")
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    yield endpoint
    endpoint.stop(10)


@contextmanager
def stopped(endpoint: LocalEndpoint) -> Iterator[None]:
    """Stop the server for some time, as on a busy machine. The kernel keeps the clients' data."""
    pid = endpoint.status().pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def client(running: LocalEndpoint) -> Iterator[Client]:
    client = Client(running.status().url)
    yield client
    client.connection.close()


@pytest.fixture
def make_endpoint(tmp_path: Path) -> Iterator[Callable[..., LocalEndpoint]]:
    """Provide new endpoints, each in a new folder, stopped at the end of the test."""
    with ExitStack() as stack:

        def make(limits: Limits | None = None, **options: Any) -> LocalEndpoint:
            folder = tmp_path / f"endpoint-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            options.setdefault("port", free_port())
            endpoint = LocalEndpoint(folder, NAME, LocalServerProcesses(folder), limits=limits, **options)
            stack.callback(endpoint.stop, 10)
            return endpoint

        yield make


@pytest.fixture(scope="session")
def connect() -> Callable[[LocalEndpoint], Client]:
    return lambda endpoint: Client(endpoint.status().url)
