"""The handlers, as the serving container calls them."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import falcon
import pytest
from scripts import HEADER, LIBRARY, TRAINING

from monitoring.text_statistics import MODULES

LABELS = HEADER[2:]


@dataclass
class Context:
    request_content_type: str = "application/json"
    accept_header: str = "application/json"


@dataclass
class Response:
    content: bytes


@pytest.fixture(scope="module")
def inference(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    code = tmp_path_factory.mktemp("code")
    shutil.copy(TRAINING / "inference.py", code)
    (code / "labels.json").write_text(json.dumps(LABELS))
    spec = importlib.util.spec_from_file_location("inference", code / "inference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(inference: ModuleType, body: bytes, content_type: str = "application/json") -> list[str]:
    instances: list[str] = json.loads(inference.input_handler(io.BytesIO(body), Context(content_type)))["instances"]
    return instances


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", '{"instances": ["a", "b\\n"]}', ["a", "b\n"]),
        ("application/json; charset=utf-8", '["é", "😀"]', ["é", "😀"]),
        ("APPLICATION/JSON", '{"text": "a"}', ["a"]),
        ("application/json", '\ufeff["\\ud83d\\ude00"]', ["😀"]),
        ("text/csv", "one\ntwo\n", ["one", "two"]),
        ("text/csv", '"a, ""b""\nc"\r\nd', ['a, "b"\nc', "d"]),
        ("text/csv", "x" * 200_000, ["x" * 200_000]),
    ],
)
def test_requests(inference: ModuleType, content_type: str, body: str, expected: list[str]) -> None:
    assert texts(inference, body.encode(), content_type) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"7", "the body is a number, expected a list of texts"),
        (b"[]", "no text in the request"),
        (b"{}", 'the body has neither "instances" nor "text"'),
        (b'{"instances": []}', "no text in the request"),
        (b'{"instances": "a"}', "instances is a text, expected a list of texts"),
        (b'{"instances": null}', "instances is null, expected a list of texts"),
        (b'{"instances": ["a", "b", "c", 3]}', "instances[3] is a number, expected a text"),
        (b'["a", true]', "instances[1] is true or false, expected a text"),
        (b'["a", ["b"]]', "instances[1] is a list, expected a text"),
        (b'{"text": {"a": 1}}', "text is an object, expected a text"),
        (b'{"text": "  "}', "text is an empty text"),
        (b'["a", ""]', "instances[1] is an empty text"),
        (b'["\\ud83d"]', "instances[0] holds half of a surrogate pair"),
        (b'["caf\xe9"]', "the body is not UTF-8: byte 5 is 0xe9"),
    ],
)
def test_bad_json_is_a_400_that_names_the_place(inference: ModuleType, body: bytes, reason: str) -> None:
    with pytest.raises(falcon.HTTPBadRequest) as refused:
        texts(inference, body)
    assert reason in str(refused.value.description)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"a\nb,c\n", "row 2 has 2 fields, expected one text"),
        (b"a\n\nb", "row 2 is an empty text"),
        (b'"a', "the body is not CSV"),
        (b"", "no text in the request"),
    ],
)
def test_bad_csv_is_a_400_that_names_the_row(inference: ModuleType, body: bytes, reason: str) -> None:
    with pytest.raises(falcon.HTTPBadRequest) as refused:
        texts(inference, body, "text/csv")
    assert reason in str(refused.value.description)


def test_an_unknown_content_type_is_a_415(inference: ModuleType) -> None:
    with pytest.raises(falcon.HTTPUnsupportedMediaType) as refused:
        texts(inference, b"\x89PNG", "image/png")
    assert "expected application/json or text/csv" in str(refused.value.description)


def test_too_many_texts_are_a_413(inference: ModuleType) -> None:
    most = inference.MAX_TEXTS
    assert len(texts(inference, json.dumps(["a"] * most).encode())) == most
    with pytest.raises(falcon.HTTPError) as refused:
        texts(inference, json.dumps(["a"] * (most + 1)).encode())
    assert refused.value.status == falcon.HTTP_413


def test_an_answer_that_cannot_be_made_is_a_406_before_the_model_is_asked(inference: ModuleType) -> None:
    with pytest.raises(falcon.HTTPNotAcceptable):
        inference.input_handler(io.BytesIO(b'["a"]'), Context(accept_header="image/png"))


def answer(inference: ModuleType, rows: list[list[float]], accept: str) -> tuple[str, str]:
    answers = [{"probabilities": row, "words": 2, "unknown_words": 0.5} for row in rows]
    response = Response(json.dumps({"predictions": answers}).encode())
    body, content_type = inference.output_handler(response, Context(accept_header=accept))
    return body, content_type


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "text/html, application/json;q=0.9"])
def test_the_answer_has_a_probability_by_label_for_each_text(inference: ModuleType, accept: str) -> None:
    rows = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.0] * 6]
    body, content_type = answer(inference, rows, accept)
    assert content_type == "application/json"
    assert json.loads(body) == {"predictions": [dict(zip(LABELS, row, strict=True)) for row in rows]}


def test_the_answer_can_be_csv(inference: ModuleType) -> None:
    body, content_type = answer(inference, [[0.5] * 6], "text/csv")
    assert (body, content_type) == (f"{','.join(LABELS)}\n{','.join(['0.5'] * 6)}\n", "text/csv")


def test_the_handlers_do_without_tensorflow() -> None:
    """The serving container has none; nor has it numpy."""
    code = (
        "import json, pathlib, sys; pathlib.Path('labels.json').write_text('[]'); import inference; "
        "print(sorted({'tensorflow', 'keras', 'numpy', 'polars'} & set(sys.modules)))"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name in ("inference.py", *MODULES):
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            shutil.copy(TRAINING / name, Path(folder) / name)
        shutil.copytree(LIBRARY / "mlops_scripts", Path(folder) / "mlops_scripts")
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
