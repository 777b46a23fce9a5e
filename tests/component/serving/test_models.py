"""Any SavedModel with a serving_default signature is served with TensorFlow's own results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_cli.serving.runtime.predict_api import PredictError, parse, render
from mlops_cli.serving.runtime.saved_model import Model, ModelError, Signature, TensorSpec, read_signature
from mlops_cli.serving.runtime.tensorflow_c import TensorFlowError
from tests.conftest import LIMIT_SECONDS

STRINGS = Signature((TensorSpec("text", "t:0", 7, (None,)),), (TensorSpec("out", "o:0", 1, (None, 6)),))
TABLE = Signature(
    (TensorSpec("count", "c:0", 9, (None,)), TensorSpec("features", "f:0", 1, (None, 3))),
    (TensorSpec("shown", "s:0", 7, (None,)), TensorSpec("total", "t:0", 1, (None,))),
)


@pytest.fixture(scope="module")
def table(packages: Any) -> Model:
    return Model(packages("table").folder, 1, 1)


def test_the_signature_is_read(table: Model, packages: Any) -> None:
    inputs = [(spec.name, spec.type_number, spec.shape) for spec in table.signature.inputs]
    assert inputs == [("count", 9, (None,)), ("features", 1, (None, 3))]
    assert [spec.name for spec in table.signature.outputs] == ["shown", "total"]
    assert table.signature.is_batched
    content = (packages("text-0").folder / "1" / "saved_model.pb").read_bytes()
    assert read_signature(content).inputs[0].is_string


def test_the_c_api_answers_as_tensorflow_does(packages: Any, table: Model) -> None:
    import tensorflow as tf

    texts = ["", "short", "long " * 50, "naïve ☃", "nul\0inside"]
    folder = packages("text-0").folder
    expected = tf.saved_model.load(str(folder / "1")).signatures["serving_default"](text=tf.constant(texts))
    ours = Model(folder, 1, 2).run({"text": np.array([text.encode() for text in texts], object)})
    np.testing.assert_array_equal(ours["probabilities"], expected["probabilities"].numpy())

    features, count = np.random.default_rng(1).random((4, 3), np.float32), np.arange(4)
    answer = table.run({"features": features, "count": count})
    np.testing.assert_allclose(answer["total"], features.sum(1) * count, rtol=1e-6)
    assert answer["shown"].tolist() == [b"0", b"1", b"2", b"3"]


def test_a_failing_graph_raises_tensorflows_message(packages: Any) -> None:
    model = Model(packages("text-0").folder, 1, 1)
    with pytest.raises(TensorFlowError, match="this text fails") as caught:
        model.run({"text": np.array([b"fail"], object)})
    assert caught.value.is_callers_fault


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no version folder"):
        Model(tmp_path, 1, 1)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff" * 50)
    with pytest.raises(ModelError):
        Model(tmp_path, 1, 1)


def test_row_and_column_format_of_tensorflow_serving() -> None:
    outputs = {"shown": np.array([b"a", b"\xff"], object), "total": np.array([1.5, 2.5], np.float32)}
    rows = [{"count": 1, "features": [1, 2, 3]}, {"count": 2, "features": [1, 2, 3.5]}]
    by_row = parse(json.dumps({"instances": rows}), TABLE)
    assert by_row.inputs["features"].dtype == np.float32
    assert by_row.inputs["count"].tolist() == [1, 2]
    assert render(by_row, outputs) == {
        "predictions": [{"shown": "a", "total": 1.5}, {"shown": {"b64": "/w=="}, "total": 2.5}]
    }
    by_column = parse(json.dumps({"inputs": {"count": [1, 2], "features": [[1, 2, 3], [4, 5, 6]]}}), TABLE)
    assert render(by_column, outputs)["outputs"]["total"] == [1.5, 2.5]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_have_the_literals_of_tensorflow_serving(literal: str) -> None:
    prediction = parse(f'{{"instances": [{{"count": 1, "features": [{literal}, 1, 2]}}]}}', TABLE)
    first = prediction.inputs["features"][0, :1]
    assert str(first[0]) == str(float(literal.replace("Infinity", "inf")))
    outputs = {"shown": np.array([b"a"], object), "total": first}
    assert f'"total": {literal}}}' in json.dumps(render(prediction, outputs))
    for value in (f'"{literal}"', "null"):
        with pytest.raises(PredictError, match="not of expected type"):
            parse(f'{{"instances": [{{"count": 1, "features": [{value}, 1, 2]}}]}}', TABLE)
    with pytest.raises(PredictError, match="count is not of expected type"):
        parse(f'{{"instances": [{{"count": {literal}, "features": [1, 1, 2]}}]}}', TABLE)


def test_strings_may_be_named_plain_or_base64() -> None:
    for instance in ("é", {"text": "é"}, {"b64": "w6k="}, {"text": {"b64": "w6k="}}):
        prediction = parse(json.dumps({"instances": [instance]}), STRINGS)
        assert prediction.inputs["text"].tolist() == ["é".encode()]
        assert prediction.rows == 1


@pytest.mark.parametrize(
    "request_",
    [
        {"instances": [{"count": 1}]},
        {"instances": [{"count": 1, "features": [1, 2]}]},
        {"instances": [{"count": 1, "features": [1, 2, "3"]}]},
        {"instances": [{"count": 1.5, "features": [1, 2, 3]}]},
        {"instances": [{"count": 2**63, "features": [1, 2, 3]}]},
        {"instances": [{"count": True, "features": [1, 2, 3]}]},
        {"instances": [{"count": None, "features": [1, 2, 3]}]},
        {"instances": [{"count": 1, "features": [1, 2, 3]}, {"count": 1, "features": [1]}]},
        {"instances": [], "inputs": []},
        {"inputs": {"count": [1]}},
        {"inputs": [1]},
        {"instances": [{"count": 1, "features": [1, 2, 3]}], "signature_name": "other"},
        {"instances": [{"count": 1, "features": [1, 2, 3]}], "signature_name": {"a": 1}},
        [],
    ],
)
def test_values_that_do_not_fit_are_refused(request_: Any) -> None:
    with pytest.raises(PredictError) as caught:
        parse(json.dumps(request_), TABLE)
    assert caught.value.status == 400


def test_a_package_without_code_passes_json_through(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint, package = make_endpoint(), packages("table")
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    client = connect(endpoint)
    rows = [{"count": 2, "features": [1, 2, 3]}]
    answer = client.ask("POST", "/invocations", {"instances": rows})
    assert answer.json() == {"predictions": [{"shown": "2", "total": 12.0}]}
    assert client.ask("POST", "/v1/models/model:predict", {"instances": rows}).json() == answer.json()
    assert client.ask("GET", "/v1/models/model").json()["model_version_status"][0]["state"] == "AVAILABLE"
    assert client.ask("POST", "/invocations", b"1,2", {"Content-Type": "text/csv"}).status == 415
    bad = client.ask("POST", "/v1/models/model:predict", {"instances": [1]})
    assert (bad.status, list(bad.json())) == (400, ["error"])


HANDLER = """
import json
import urllib.request

def handler(data, context):
    body = json.dumps({"instances": data.read().decode().splitlines()}).encode()
    with urllib.request.urlopen(context.rest_uri, body, context.timeout) as response:
        rows = json.load(response)["predictions"]
    return json.dumps(len(rows)), "application/json"
"""


def test_a_lone_handler_calls_the_model_by_its_rest_uri(
    make_endpoint: Any, packages: Any, package_of: Any, with_code: Any, connect: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "1").symlink_to(packages("plain").folder / "1")
    with pytest.raises(Exception, match="neither a file nor a folder"):
        package_of(folder)
    (folder / "1").unlink()
    (packages("plain").folder / "1").rename(folder / "1")
    try:
        with_code(folder, HANDLER)
        package = package_of(folder)
    finally:
        (folder / "1").rename(packages("plain").folder / "1")
    endpoint = make_endpoint()
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    answer = connect(endpoint).ask("POST", "/invocations", b"one\ntwo\nthree", {"Content-Type": "text/plain"})
    assert (answer.status, answer.json()) == (200, 3)
