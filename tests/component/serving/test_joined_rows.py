"""Requests whose rows are predicted in one call get the responses that each one gets alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_cli.frameworks import formats, framework_named
from mlops_cli.frameworks.base import CSV, JSON, NPY
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.control_files import EndpointDirectory, Limits
from mlops_cli.serving.runtime.script_model import ScriptModel
from mlops_cli.serving.worker.batch import Batch, Invocation
from mlops_cli.serving.worker.handlers import Context
from mlops_cli.serving.worker.progress_board import ProgressBoard, open_board_file
from mlops_cli.serving.worker.script_predictor import ScriptPredictor
from tests.conftest import LIMIT_SECONDS, wait_for

xgboost = pytest.importorskip("xgboost", reason="it comes with the extra: pip install -e '.[test]'")

XGBOOST, SKLEARN = framework_named("xgboost"), framework_named("sklearn")
# A model without functions of its own. It notes the rows of each call; the first column can make it misbehave.
GATE, HANG, EXIT, LATE = 1000.0, 1001.0, 1002.0, 1003.0
INFERENCE = """
import os, time
from pathlib import Path
import xgboost

FOLDER = Path({folder!r})
CALLS = FOLDER / "calls"

class Model:
    def __init__(self, booster):
        self.booster = booster

    def predict(self, data, **options):
        with CALLS.open("a") as stream:
            stream.write(f"{{data.num_row()}}\\n")
        first = data.get_data().toarray()[:, 0]
        while {gate} in first and not (FOLDER / "open").exists():
            time.sleep(0.01)
        while {late} in first and len(first) > 1 and not (FOLDER / "late").exists():
            time.sleep(0.01)
        if {hang} in first:
            time.sleep(3600)
        if {exit} in first:
            os._exit(3)
        return self.booster.predict(data, **options)

def model_fn(folder):
    return Model(xgboost.Booster(model_file=folder + "/model.json"))
"""


def trained(parameters: dict[str, Any]) -> Any:
    """Return a booster of four columns, with missing values among its rows."""
    draw = np.random.default_rng(7)
    rows = draw.normal(size=(300, 4))
    rows[draw.random(rows.shape) < 0.2] = np.nan
    score = np.nansum(rows, axis=1)
    objective, options = parameters["objective"], {}
    if objective.startswith("multi:"):
        labels = np.digitize(score, [-1, 1])
    elif objective.startswith(("binary:", "rank:", "reg:logistic")):
        labels = score > 0
    elif parameters.get("multi_strategy"):
        labels = np.stack([score, -score], axis=1)
    else:
        labels = np.exp(score)
    if objective.startswith("rank:"):
        options["qid"] = np.repeat(range(30), 10)
    return xgboost.train({"seed": 3, **parameters}, xgboost.DMatrix(rows, label=labels, **options), 12)


def package(folder: Path, booster: Any, more: str = "") -> Path:
    (folder / "code").mkdir(parents=True)
    code = INFERENCE.format(folder=str(folder.parent), gate=GATE, hang=HANG, exit=EXIT, late=LATE)
    (folder / "code" / "inference.py").write_text(code + more)
    booster.save_model(folder / "model.json")
    return folder


def calls(folder: Path) -> list[int]:
    """Return the number of rows of each call of the model."""
    return [int(line) for line in (folder / "calls").read_text().split()]


def bodies(count: int) -> list[bytes]:
    """Return CSV bodies of one to three rows. A fifth of the cells, and all of the first row, are missing."""
    draw = np.random.default_rng(11)
    texts = []
    for number in range(count):
        rows = draw.normal(size=(1 + number % 3, 4))
        rows[draw.random(rows.shape) < (0.2 if number else 1)] = np.nan
        texts.append("\n".join(",".join("" if np.isnan(cell) else repr(float(cell)) for cell in row) for row in rows))
    return [text.encode() for text in texts]


def invocation(number: int, body: bytes, accept: str, content_type: str = CSV) -> Invocation:
    context = Context("model", None, None, "", None, None, None, content_type, accept, len(body), 60.0)
    return Invocation(number, body, context)


@pytest.fixture
def board() -> ProgressBoard:
    return ProgressBoard(open_board_file())


@pytest.fixture
def fresh_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("inference", None)


PARAMETERS: dict[str, dict[str, Any]] = {
    "regression": {"objective": "reg:squarederror"},
    "logistic regression": {"objective": "reg:logistic"},
    "counts": {"objective": "count:poisson"},
    "survival": {"objective": "survival:cox"},
    "binary": {"objective": "binary:logistic"},
    "hinge": {"objective": "binary:hinge"},
    "ranking": {"objective": "rank:pairwise"},
    "probabilities of classes": {"objective": "multi:softprob", "num_class": 3},
    "classes": {"objective": "multi:softmax", "num_class": 3},
    "several numbers": {"objective": "reg:squarederror", "multi_strategy": "multi_output_tree"},
    "forest": {"objective": "binary:logistic", "num_parallel_tree": 20, "subsample": 0.5},
    "dropped trees": {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5},
    "linear": {"objective": "reg:squarederror", "booster": "gblinear", "nthread": 1},
}


@pytest.mark.usefixtures("fresh_modules")
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_xgboost_predicts_rows_together_as_alone(
    tmp_path: Path, board: ProgressBoard, parameters: dict[str, Any]
) -> None:
    """The expected responses are those of the container's functions for each request alone, byte for byte."""
    booster = trained(parameters)
    model = ScriptModel(package(tmp_path / "package", booster), XGBOOST)
    accepts = (JSON, CSV, NPY)
    requests = [invocation(number, body, accepts[number // 3 % 3]) for number, body in enumerate(bodies(24))]
    ScriptPredictor(model).run(Batch(requests, board, 0, lambda _: None))
    assert calls(tmp_path) == [48]
    assert XGBOOST.input_fn and XGBOOST.predict_fn
    for request in requests:
        prediction = XGBOOST.predict_fn(XGBOOST.input_fn(request.body.decode(), CSV), booster)
        assert request.answer == formats.encode_cells(prediction, request.context.accept_header)


@pytest.mark.usefixtures("fresh_modules")
def test_only_rows_of_the_same_columns_are_joined(tmp_path: Path, board: ProgressBoard) -> None:
    """A request that cannot be read, or has no prediction, fails alone."""
    model = ScriptModel(package(tmp_path / "package", trained(PARAMETERS["binary"])), XGBOOST)
    texts = [b"1,2,3,4", b"1,2,3", b"inf,2,3,4", b"a,b,c,d", b"5,6,7,8", b"1,2,\n3", b"5,6,7,8,9"]
    requests = [invocation(number, body, JSON) for number, body in enumerate(texts)]
    requests.append(invocation(7, b"1,2,3,4", "image/png"))
    requests.append(Invocation(8, b"[[1]]", requests[0].context._replace(request_content_type=JSON)))
    ScriptPredictor(model).run(Batch(requests, board, 0, lambda _: None))
    for request in requests:
        alone = invocation(9, request.body, request.context.accept_header)
        alone.context = request.context
        ScriptPredictor(model).run(Batch([alone], board, 0, lambda _: None))
        assert request.answer == alone.answer
        assert getattr(request.error, "body", None) == getattr(alone.error, "body", None)
    assert [request.error is None for request in requests] == [True, True, False, False, True, *4 * [False]]


@pytest.mark.usefixtures("fresh_modules")
@pytest.mark.parametrize("function", ["input_fn", "predict_fn"])
def test_a_package_with_functions_of_its_own_answers_one_request_at_a_time(
    tmp_path: Path, board: ProgressBoard, function: str
) -> None:
    own = f"\nfrom mlops_cli.frameworks.xgboost import {function}\n"
    model = ScriptModel(package(tmp_path / "package", trained(PARAMETERS["binary"]), own), XGBOOST)
    requests = [invocation(number, body, JSON) for number, body in enumerate(bodies(3))]
    ScriptPredictor(model).run(Batch(requests, board, 0, lambda _: None))
    assert calls(tmp_path) == [1, 2, 3]


def gathered(
    connect: Callable[[LocalEndpoint], Any],
    endpoint: LocalEndpoint,
    folder: Path,
    texts: list[bytes],
    gate: str = f"{GATE},0,0,0",
    content_type: str = CSV,
) -> list[tuple[int, bytes]]:
    """Send the requests while the model computes another one. Return status and body of each."""
    headers = {"Content-Type": content_type, "Accept": JSON}
    clients = [connect(endpoint) for _ in texts]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: connect(endpoint).ask("POST", "/invocations", gate, headers))
        wait_for(lambda: (folder / "calls").exists())
        for client, text in zip(clients, texts, strict=True):
            client.connection.request("POST", "/invocations", text, headers)
        assert connect(endpoint).ask("GET", "/ping").status == 200
        (folder / "open").touch()
        responses = [client.connection.getresponse() for client in clients]
        answers = [(response.status, response.read()) for response in responses]
        assert first.result().status == 200
    return answers


def test_requests_that_wait_are_one_call_of_the_model(
    tmp_path: Path, make_endpoint: Any, connect: Any, package_of: Any
) -> None:
    booster = trained(PARAMETERS["probabilities of classes"])
    archive = package_of(package(tmp_path / "package", booster))
    endpoint = make_endpoint(Limits(takeover_seconds=60))
    endpoint.deploy(archive.path, archive.digest, LIMIT_SECONDS, "xgboost")
    texts = [*bodies(30), b"a,b,c,d", b"1,2"]
    answers = gathered(connect, endpoint, tmp_path, texts)
    assert max(calls(tmp_path)) > 3, "more rows than any request has"
    assert [status for status, _ in answers] == [200] * 30 + [500, 200]
    alone = [connect(endpoint).ask("POST", "/invocations", text, {"Content-Type": CSV}) for text in texts]
    assert [(answer.status, answer.body) for answer in alone] == answers


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "status"), [(HANG, 504), (EXIT, 502)], ids=["hangs", "ends the process"])
def test_a_row_that_ends_a_shared_call_fails_only_its_own_request(
    tmp_path: Path, make_endpoint: Any, connect: Any, package_of: Any, cell: float, status: int
) -> None:
    archive = package_of(package(tmp_path / "package", trained(PARAMETERS["binary"])))
    endpoint = make_endpoint(Limits(request_seconds=12, takeover_seconds=0.3))
    endpoint.deploy(archive.path, archive.digest, LIMIT_SECONDS, "xgboost")
    worker = EndpointDirectory(endpoint.status().log.parent).read_service()
    texts = bodies(10)
    answers = gathered(connect, endpoint, tmp_path, [*texts[:5], f"{cell},0,0,0".encode(), *texts[5:]])
    assert max(calls(tmp_path)) > 3
    assert [answer[0] for answer in answers] == [200] * 5 + [status] + [200] * 5
    wait_for(lambda: EndpointDirectory(endpoint.status().log.parent).read_service().worker != worker.worker)
    assert connect(endpoint).ask("POST", "/invocations", texts[1], {"Content-Type": CSV}).status == 200


def test_a_shared_call_that_takes_long_is_repeated_for_each_request(
    tmp_path: Path, make_endpoint: Any, connect: Any, package_of: Any
) -> None:
    """The shared call returns after all of its requests were answered. Its worker stays."""
    archive = package_of(package(tmp_path / "package", trained(PARAMETERS["binary"])))
    endpoint = make_endpoint(Limits(takeover_seconds=0.3))
    endpoint.deploy(archive.path, archive.digest, LIMIT_SECONDS, "xgboost")
    texts = [*bodies(5), f"{LATE},0,0,0".encode()]
    answers = gathered(connect, endpoint, tmp_path, texts)
    (tmp_path / "late").touch()
    alone = [connect(endpoint).ask("POST", "/invocations", text, {"Content-Type": CSV}) for text in texts]
    assert [(answer.status, answer.body) for answer in alone] == answers
    assert max(calls(tmp_path)) > 3
    assert endpoint.status().incidents == ()


# Handlers of a package's own. Each doubles the rows of a request, notes the number of rows of each call, and waits
# for a file if the first row is the gate.
OWN = """
import json, time
from pathlib import Path

FOLDER = Path({folder!r})

def model_fn(folder):
    return 2

def note(count, first):
    with (FOLDER / "calls").open("a") as stream:
        stream.write(f"{{count}}\\n")
    while first == {gate} and not (FOLDER / "open").exists():
        time.sleep(0.01)
"""
ARRAYS = """
def predict_fn(data, model):
    note(len(data), data[0, 0])
    return data * model
"""
LISTS = """
def input_fn(body, content_type):
    return json.loads(body)

def predict_fn(rows, model):
    note(len(rows), rows[0][0])
    return [[rows.pop(0)[0] * model] for _ in list(rows)]
"""
FRAMES = """
import pandas

def input_fn(body, content_type):
    return pandas.DataFrame(json.loads(body)).rename(columns={0: "a", 1: "b"})

def predict_fn(frame, model):
    note(len(frame), frame.a[0])
    assert list(frame.index) == list(range(len(frame)))
    return frame.to_numpy() * model
"""
JSON_ROWS = [json.dumps([[number + row, 1] for row in range(1 + number % 3)]).encode() for number in range(12)]


def own_package(folder: Path, handlers: str) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(OWN.format(folder=str(folder.parent), gate=GATE) + handlers)
    return folder


def answered(model: ScriptModel, board: ProgressBoard, texts: list[bytes]) -> list[tuple[Any, Any]]:
    """Return response and error of requests that are a batch."""
    requests = [invocation(number, body, JSON, JSON) for number, body in enumerate(texts)]
    ScriptPredictor(model).run(Batch(requests, board, 0, lambda _: None))
    return [(request.answer, getattr(request.error, "body", None)) for request in requests]


@pytest.mark.usefixtures("fresh_modules")
@pytest.mark.parametrize("handlers", [ARRAYS, LISTS, FRAMES], ids=["arrays", "lists", "data frames"])
def test_batching_joins_the_rows_of_own_handlers(tmp_path: Path, board: ProgressBoard, handlers: str) -> None:
    folder = own_package(tmp_path / "package", handlers)
    alone = answered(ScriptModel(folder, SKLEARN), board, JSON_ROWS)
    assert calls(tmp_path) == [1, 2, 3] * 4
    assert answered(ScriptModel(folder, SKLEARN, batching=True), board, JSON_ROWS) == alone
    assert calls(tmp_path) == [*[1, 2, 3] * 4, 24]


@pytest.mark.usefixtures("fresh_modules")
@pytest.mark.parametrize(
    "result", ["[len(data)]", "len(data)", "{'rows': data}", "data.mean(axis=0)", "data.tolist() + [0]", "data[:1]"]
)
def test_a_prediction_without_a_row_for_each_row_is_computed_alone(
    tmp_path: Path, board: ProgressBoard, result: str
) -> None:
    handlers = f"\ndef predict_fn(data, model):\n    note(len(data), 0)\n    return {result}\n"
    folder = own_package(tmp_path / "package", handlers)
    alone = answered(ScriptModel(folder, SKLEARN), board, JSON_ROWS)
    assert answered(ScriptModel(folder, SKLEARN, batching=True), board, JSON_ROWS) == alone
    assert calls(tmp_path) == [*[1, 2, 3] * 4, 24, *[1, 2, 3] * 4]


@pytest.mark.usefixtures("fresh_modules")
def test_an_error_in_a_shared_call_changes_no_other_request(tmp_path: Path, board: ProgressBoard) -> None:
    """The call has already taken entries out of the other requests' rows."""
    handlers = LISTS.replace("rows.pop(0)[0]", "rows.pop(0).pop(0)")
    model = ScriptModel(own_package(tmp_path / "package", handlers), SKLEARN, batching=True)
    answers = answered(model, board, [*JSON_ROWS, b'[[null, 1], ["x", 2]]', b"{}", b"[]"])
    assert [answer and answer[0] for answer, _ in answers[:3]] == ["[[0]]", "[[2], [4]]", "[[4], [6], [8]]"]
    assert [answer is None for answer, _ in answers] == [*[False] * 12, *[True] * 3]


@pytest.mark.usefixtures("fresh_modules")
def test_arrays_of_another_type_or_shape_are_calls_of_their_own(tmp_path: Path, board: ProgressBoard) -> None:
    handlers = "\nimport numpy as np\n\ndef input_fn(body, content_type):\n    return np.array(json.loads(body))\n"
    model = ScriptModel(own_package(tmp_path / "package", handlers + ARRAYS), SKLEARN, batching=True)
    texts = [b"[[1, 2]]", b"[[1.5, 2]]", b"[[3, 4], [5, 6]]", b"[[1, 2, 3]]", b"[[[1], [2]]]", b"[1, 2]", b"[[2.5, 1]]"]
    answers = answered(model, board, texts)
    assert [answer and answer[0] for answer, _ in answers] == [
        "[[2, 4]]",
        "[[3.0, 4.0]]",
        "[[6, 8], [10, 12]]",
        "[[2, 4, 6]]",
        "[[[2], [4]]]",
        None,
        "[[5.0, 2.0]]",
    ]
    assert calls(tmp_path) == [3, 2, 1, 1]


def test_batching_is_a_setting_of_the_endpoint(
    tmp_path: Path, make_endpoint: Any, connect: Any, package_of: Any
) -> None:
    """The same endpoint with it deploys the same package again."""
    archive = package_of(own_package(tmp_path / "package", LISTS))
    endpoint = make_endpoint(Limits(takeover_seconds=60))
    for batching in (False, True):
        endpoint.batching = batching
        endpoint.deploy(archive.path, archive.digest, LIMIT_SECONDS, "sklearn")
        assert endpoint.status().batching is batching
        answers = gathered(connect, endpoint, tmp_path, [*JSON_ROWS, b"[[null]]"], f"[[{GATE}, 1]]", JSON)
        expected = [json.dumps([[2 * row[0]] for row in json.loads(text)]).encode() for text in JSON_ROWS]
        assert answers[:12] == [(200, body) for body in expected]
        assert answers[12][0] == 500
        assert (max(calls(tmp_path)) > 3) is batching
        (tmp_path / "calls").unlink()
        (tmp_path / "open").unlink()
