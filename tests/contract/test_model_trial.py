"""The trial of a model has the same result on both targets: in the server's runtime, and in the serving container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aws_simulator.services.sagemaker.jobs.serving_container import ServingContainer
from mlops_cli.backends.aws.stages.containers import model_trial
from mlops_cli.files.model_archive import pack
from mlops_cli.frameworks import framework_named
from mlops_cli.rehearsal.model_server import ModelServer
from tests.conftest import wait_for

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
EXAMPLES = '{"instances": [[1, 2], [3, 4]]}'
GOOD = """
import json

def model_fn(folder):
    return 2.0

def input_fn(body, content_type):
    return [[float(cell) for cell in row] for row in json.loads(body)["instances"]]

def predict_fn(rows, model):
    return [model * sum(row) for row in rows]

def output_fn(values, accept):
    return json.dumps({"predictions": values})
"""
MODULE = "def factor(folder):\n    raise ValueError(f'two  factors')\n"
FAILURES = {
    "it does not load": (
        GOOD.replace("return 2.0", "raise ValueError('the file is broken')"),
        EXAMPLES,
        "ValueError: the file is broken (code/inference.py, line 5, in model_fn)",
    ),
    "a module of its own fails": (
        GOOD.replace("import json", "import json\nfrom own import factor").replace("return 2.0", "return factor(1)"),
        EXAMPLES,
        "ValueError: two factors (code/own.py, line 2, in factor)",
    ),
    "a package is missing": (
        GOOD.replace("import json", "import json\nimport nowhere_at_all"),
        EXAMPLES,
        "ModuleNotFoundError: No module named 'nowhere_at_all' (code/inference.py, line 3)",
    ),
    "it loads and does not answer": (
        GOOD.replace("model * sum(row)", "row['price']"),
        EXAMPLES,
        "it does not answer example 1 of [endpoint] in usecase.toml, [1, 2]: TypeError: list indices must be integers "
        "or slices, not str (code/inference.py, line 11, in predict_fn)",
    ),
    "an example is wrong": (
        GOOD,
        '{"instances": [[1, 2], ["many", 2], [3, 4]]}',
        'it does not answer example 2 of [endpoint] in usecase.toml, ["many", 2]: ValueError: could not convert string '
        "to float: 'many' (code/inference.py, line 8, in input_fn)",
    ),
    "the examples do not go together": (
        GOOD.replace("return [model * sum(row) for row in rows]", "return rows if len(rows) < 2 else 1 / 0"),
        EXAMPLES,
        "it does not answer the examples of [endpoint] in usecase.toml together: ZeroDivisionError: division by zero "
        "(code/inference.py, line 11, in predict_fn)",
    ),
}


def package_of(folder: Path, handlers: str) -> Path:
    code = folder / "package" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(handlers)
    (code / "own.py").write_text(MODULE)
    archive = folder / "opt" / "ml" / "processing" / "input" / "model" / model_trial.PACKAGE
    archive.parent.mkdir(parents=True)
    pack(folder / "package", archive)
    return archive


def tried_locally(folder: Path, archive: Path, examples: str) -> tuple[int, str]:
    request = folder / "request.json"
    request.write_text(examples)
    names = (str(archive), str(folder / "unpacked"), "sklearn", str(request))
    command = [sys.executable, "-m", "mlops_cli.serving.worker.trial", *names]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


def tried_in_container(folder: Path, examples: str, **changes: str) -> tuple[int, str]:
    root, simulator = folder / "opt" / "ml", SimpleNamespace(endpoint_server=ModelServer)
    (root / "processing" / "input" / "code").mkdir()
    (root / "processing" / "input" / "code" / model_trial.EXAMPLES).write_text(examples)
    variables = framework_named("sklearn").environment
    program: Any = ServingContainer(simulator, "trial", folder / "serving", root / "model", IMAGE, isolated=False)  # type: ignore[arg-type]
    environment = {**os.environ, **variables, **program.install(), "PATH": f"{folder / 'serving'}:/usr/bin", **changes}
    with subprocess.Popen([sys.executable, "-I", model_trial.__file__, str(root)], env=environment) as trial:
        try:
            wait_for(lambda: program.look(variables) or trial.poll() is not None)
        finally:
            trial.kill()
            program.stop()
    return trial.returncode, (root / "output" / "message").read_text()


@pytest.mark.parametrize("name", FAILURES)
def test_a_model_that_cannot_be_served_fails_with_the_same_reason(tmp_path: Path, name: str) -> None:
    handlers, examples, reason = FAILURES[name]
    archive = package_of(tmp_path, handlers)
    assert tried_locally(tmp_path, archive, examples) == (1, reason)
    assert tried_in_container(tmp_path, examples) == (1, reason)


def test_a_server_that_ends_without_an_exception_is_quoted(tmp_path: Path) -> None:
    archive = package_of(tmp_path, GOOD.replace("def model_fn", "def other"))
    reason = "code/inference.py must define model_fn: scikit-learn has no default one"
    assert tried_locally(tmp_path, archive, EXAMPLES) == (1, f"ModelError: {reason}")
    code, message = tried_in_container(tmp_path, EXAMPLES)
    assert (code, message.startswith("its server ended with 1: "), reason in message) == (1, True, True)


@pytest.mark.parametrize(("examples", "answer"), [(EXAMPLES, '{"predictions": [6.0, 14.0]}'), ("", "")])
def test_a_good_model_passes(tmp_path: Path, examples: str, answer: str) -> None:
    archive = package_of(tmp_path, GOOD)
    assert tried_locally(tmp_path, archive, examples)[0] == 0
    assert tried_in_container(tmp_path, examples) == (0, f"{model_trial.ANSWERED}{answer}".strip())


def test_an_image_without_a_known_server_is_not_tried(tmp_path: Path) -> None:
    package_of(tmp_path, GOOD)
    message = f"{model_trial.NOT_TRIED}{model_trial.NO_SERVER}"
    assert tried_in_container(tmp_path, EXAMPLES, PATH="/usr/bin") == (0, message)
