"""Models of other frameworks than TensorFlow answer as in their containers, whose library is sagemaker-inference."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlops_cli.files.model_archive import pack
from mlops_cli.frameworks import formats, framework_named
from mlops_cli.frameworks.base import CSV, JSON, NPY, Framework, Image, Toolkit
from mlops_cli.frameworks.package_check import obstacle
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.failure_log import read_failure
from mlops_cli.serving.runtime.saved_model import ModelError
from mlops_cli.serving.runtime.script_model import AnswerError, ScriptModel
from tests.conftest import LIMIT_SECONDS, wait_for

pytest.importorskip("sagemaker_inference", reason="it comes with the extra: pip install -e '.[test]'")

# No default functions but those of the toolkit itself.
TOOLKIT = Framework(
    name="toolkit",
    title="Toolkit",
    extra="",
    modules=(),
    package="",
    training=Image("1"),
    serving=Image("1"),
    training_repository="",
    repository="",
    toolkit=Toolkit.INFERENCE,
    input_fn=formats.decode,
    output_fn=formats.encode,
)
PLAIN = """
import numpy as np

def model_fn(model_dir):
    return 2.0

def predict_fn(data, model):
    return np.asarray(data, dtype=float) * model
"""
CONTEXT = """
def model_fn(model_dir, context):
    return context.system_properties["model_dir"] == model_dir

def input_fn(data, content_type, context):
    return data

def predict_fn(data, model, context):
    return f"{model} {type(data).__name__} {data!r}"

def output_fn(prediction, accept):
    return prediction, "text/plain"
"""
TRANSFORM = """
def model_fn(model_dir):
    return {"a": 1}

def transform_fn(model, data, content_type, accept):
    if data == "fail":
        raise KeyError("a bug")
    if data == "refuse":
        from sagemaker_inference.errors import GenericInferenceToolkitError
        raise GenericInferenceToolkitError(422, "not this one")
    return f"{model['a']} {content_type} {accept} {data!r}"
"""


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(values))
    return stream.getvalue()


REQUESTS: list[tuple[bytes, str, str]] = [
    (b"[[1, 2], [3, 4]]", "application/json", "application/json"),
    (b"[[1, 2], [3, 4]]", "application/json", ""),
    (b"[[1, 2.25], [3, 4]]", "application/json", "*/*"),
    (b"[[1, 2], [3, 4]]", "application/json", "text/csv"),
    (b"[[1, 2], [3, 4]]", "application/json", "image/png, text/csv"),
    (b"[0.1, 1e-9, 12345678901234567890]", "application/json", "text/csv"),
    (b"7", "application/json", "application/json"),
    (b"[]", "application/json", "application/json"),
    (b"1,2\n3,4\n", "text/csv", "application/json"),
    (b"1,2\n3,4", "text/csv", "text/csv"),
    (b"1,,3\n", "text/csv", "application/json"),
    (b"5", "text/csv", "application/x-npy"),
    (npy([[1.5, 2.5]]), "application/x-npy", "application/json"),
    (npy([[1, 2]]), "application/x-npy", "application/x-npy"),
    # What cannot be answered: the same status and the same first words.
    (b"[[1, 2]]", "application/json", "image/png"),
    (b"[[1, 2]]", "image/png", "application/json"),
    (b"[[1, 2]]", "application/json; charset=utf-8", "application/json"),
    (b"{broken", "application/json", "application/json"),
    (b"\xff\xfe", "application/json", "application/json"),
    (b'{"instances": [[1]]}', "application/json", "application/json"),
    (b"fail", "text/csv", "application/json"),
    (b"refuse", "text/csv", "application/json"),
    ("grüße".encode(), "text/csv", "application/json"),
    (b"bytes", "application/octet-stream", "application/json"),
]


def package(folder: Path, inference: str | None) -> Path:
    (folder / "code").mkdir(parents=True)
    if inference is not None:
        (folder / "code" / "inference.py").write_text(inference)
    return folder


@pytest.fixture
def fresh_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("inference", None)


def theirs(folder: Path, body: bytes, content_type: str, accept: str) -> tuple[int, bytes, str]:
    """Return status, body and content type of the container's own library."""
    from sagemaker_inference.transformer import Transformer

    sys.modules.pop("inference", None)
    sys.path.insert(0, str(folder / "code"))
    importlib.invalidate_caches()
    properties = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
    answer = SimpleNamespace(status=200, content_type="")
    context = SimpleNamespace(
        system_properties={"model_dir": str(folder)},
        request_processor=[SimpleNamespace(get_request_properties=lambda: properties)],
        set_response_status=lambda code, phrase: setattr(answer, "status", code),
        set_response_content_type=lambda _, value: setattr(answer, "content_type", value),
    )
    (result,) = Transformer().transform([{"body": body}], context)
    return answer.status, result if isinstance(result, bytes) else result.encode(), answer.content_type


def ours(folder: Path, body: bytes, content_type: str, accept: str) -> tuple[int, bytes, str]:
    try:
        content, answered = ScriptModel(folder, TOOLKIT).answer(body, content_type, accept)
    except AnswerError as error:
        return error.status_code, error.body.encode(), ""
    return 200, content if isinstance(content, bytes) else content.encode(), answered


@pytest.mark.usefixtures("fresh_modules")
@pytest.mark.parametrize("inference", [PLAIN, CONTEXT, TRANSFORM], ids=["functions", "context", "transform"])
@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_the_answer_is_that_of_the_containers_library(
    tmp_path: Path, inference: str, request_: tuple[bytes, str, str]
) -> None:
    folder = package(tmp_path / "package", inference)
    status, body, content_type = theirs(folder, *request_)
    own_status, own_body, own_content_type = ours(folder, *request_)
    assert own_status == status
    if status == 200:
        assert (own_body, own_content_type) == (body, content_type)
    else:
        # The container adds its traceback; here it goes to the log.
        assert own_body.strip()
        assert body.startswith(own_body)
        assert b"Traceback" in body
        assert b"Traceback" not in own_body


IRIS = """
import skops.io

def model_fn(model_dir):
    return skops.io.load(f"{model_dir}/model.skops")
"""


def sklearn_package(folder: Path, inference: str = IRIS) -> Path:
    import skops.io
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], [1.0, 2.0, 6.0])
    skops.io.dump(model, package(folder, inference) / "model.skops")
    return folder


@pytest.mark.usefixtures("fresh_modules")
def test_scikit_learn_answers_as_its_container(tmp_path: Path) -> None:
    """The container's own server cannot be installed with this Python.

    The expected responses follow sagemaker-containers.
    """
    model = ScriptModel(sklearn_package(tmp_path / "package"), framework_named("sklearn"))
    assert model.answer(b"[[1, 1]]", JSON, JSON) == ("[3.0]", JSON)
    assert model.answer(b"1,1\n2,2\n", CSV, CSV) == ("3.0\n6.0\n", CSV)
    assert np.load(io.BytesIO(model.answer(npy([[1.0, 1.0]]), NPY, NPY)[0])).tolist() == [3.0]
    for content_type, accept, status in (
        ("image/png", JSON, 415),
        (JSON, "image/png", 406),
        (JSON, f"{CSV},{JSON}", 406),
    ):
        with pytest.raises(AnswerError) as caught:
            model.answer(b"[[1, 1]]", content_type, accept)
        document = json.loads(caught.value.body)
        assert (caught.value.status_code, document["error"]) == (status, "UnsupportedFormatError")
    with pytest.raises(AnswerError) as caught:
        model.answer(b"[[1, 1, 1]]", JSON, JSON)
    assert caught.value.status_code == 500
    assert "<h1>Internal Server Error</h1>" in caught.value.body


@pytest.mark.usefixtures("fresh_modules")
def test_a_pickle_in_a_request_is_never_loaded(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    model = ScriptModel(sklearn_package(tmp_path / "package"), framework_named("sklearn"))
    with pytest.raises(AnswerError):
        model.answer(stream.getvalue(), NPY, JSON)


@pytest.mark.usefixtures("fresh_modules")
def test_xgboost_answers_csv_rows(tmp_path: Path) -> None:
    import xgboost

    inference = "import xgboost\n\ndef model_fn(d):\n    return xgboost.Booster(model_file=f'{d}/model.json')\n"
    folder = package(tmp_path / "package", inference)
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    booster = xgboost.train({"max_depth": 1}, xgboost.DMatrix(rows, label=[1.0, 2.0, 6.0]), 3)
    booster.save_model(folder / "model.json")
    answer, content_type = ScriptModel(folder, framework_named("xgboost")).answer(b"0,1\n2,", CSV, JSON)
    assert (len(json.loads(answer)), content_type) == (2, JSON)


@pytest.mark.usefixtures("fresh_modules")
@pytest.mark.parametrize(
    ("name", "inference", "problem"),
    [
        ("sklearn", None, "the model package has no code/inference.py: pack_code"),
        ("sklearn", "import json", "must define model_fn: scikit-learn has no default one"),
        ("sklearn", "def model_fn(d): pass\ndef transform_fn(*a): pass\ndef input_fn(*a): pass", "in conjunction with"),
        ("huggingface", "def model_fn(d): pass", "must define predict_fn: Hugging Face has no default for it"),
    ],
)
def test_a_package_that_cannot_be_served_has_a_reason(
    tmp_path: Path, name: str, inference: str | None, problem: str
) -> None:
    """The server reports it when it loads the package; on AWS it is found without running the package."""
    folder = package(tmp_path / "package", inference)
    if "conjunction" not in problem:
        pack(folder, tmp_path / "model.tar.gz")
        assert problem.removesuffix(" one") in obstacle(tmp_path / "model.tar.gz", framework_named(name))
    with pytest.raises(ModelError, match=problem):
        ScriptModel(folder, framework_named(name))


@pytest.mark.parametrize(
    ("name", "inference", "problem"),
    [
        ("tensorflow", None, "no version folder with a saved_model.pb"),
        ("sklearn", IRIS, ""),
        ("sklearn", "from shared import *", ""),
        ("sklearn", "try:\n    from shared import model_fn\nexcept ImportError:\n    model_fn = None", ""),
        ("sklearn", "def model_fn(:", "is not valid Python"),
        ("huggingface", "def model_fn(d): pass\ndef transform_fn(m, b, c, a): pass", ""),
        ("pytorch", None, ""),
    ],
)
def test_a_package_is_looked_at_without_running_it(
    tmp_path: Path, name: str, inference: str | None, problem: str
) -> None:
    archive = tmp_path / "model.tar.gz"
    pack(package(tmp_path / "package", inference), archive)
    reason = obstacle(archive, framework_named(name))
    assert problem in reason
    assert bool(problem) == bool(reason)


def test_the_server_answers_with_the_packages_functions(
    tmp_path: Path,
    make_endpoint: Callable[..., LocalEndpoint],
    connect: Callable[[LocalEndpoint], Any],
    package_of: Callable[[Path], Any],
) -> None:
    """Use HTTP, also in the form of SageMaker's runtime. Examples that the handlers refuse do not stop the server."""
    archive = package_of(sklearn_package(tmp_path / "package"))
    endpoint = make_endpoint(examples='{"instances": ["not for this model"]}')
    endpoint.deploy(archive.path, archive.digest, LIMIT_SECONDS, "sklearn")
    client = connect(endpoint)
    answer = client.ask("POST", "/invocations", b"1,1\n2,2\n", {"Content-Type": CSV, "Accept": JSON})
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"[3.0, 6.0]", JSON)
    refused = client.ask("POST", "/invocations", b"1", {"Content-Type": "image/png"})
    assert (refused.status, refused.json()["error"]) == (415, "UnsupportedFormatError")
    wrapped = client.ask("POST", f"/endpoints/{endpoint.name}/invocations", b"1", {"Content-Type": "image/png"})
    assert (wrapped.status, wrapped.headers["x-amzn-errortype"]) == (424, "ModelError")
    assert wrapped.json()["OriginalStatusCode"] == 415
    assert client.ask("GET", "/ping").status == 200
    wait_for(lambda: "does not answer the examples of usecase.toml" in endpoint.status().log.read_text())
    started = time.time() + 1
    assert read_failure(endpoint.status().log, started) == "", "only what was logged since then"
    time.sleep(1)
    assert client.ask("POST", "/invocations", b'[["many"]]', {"Content-Type": JSON}).status == 500
    failure = read_failure(endpoint.status().log, started)
    assert failure.startswith("ValueError: could not convert string to float: ")


def test_the_trial_names_the_line_of_the_package_that_failed(tmp_path: Path) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    handler = "def model_fn(folder):\n    return open(f'{folder}/model.skops')\n"
    (tmp_path / "model" / "code" / "inference.py").write_text(handler)
    (tmp_path / "examples.json").write_text("")
    pack(tmp_path / "model", tmp_path / "model.tar.gz")
    package, folder, request = (str(tmp_path / name) for name in ("model.tar.gz", "unpacked", "examples.json"))
    command = [sys.executable, "-m", "mlops_cli.serving.worker.trial", package, folder, "sklearn", request]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    place = "code/inference.py, line 2, in model_fn"
    message = f"FileNotFoundError: [Errno 2] No such file or directory: 'model.skops' ({place})"
    assert done.stderr.splitlines()[-1] == message
