"""The measurements of a request. Nothing else of a request is stored or logged."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripts import HEADER, LIBRARY

from mlops_scripts.observation import FILE, LINE, SECONDS, UNOBSERVED, Observer, Tally, write_reference
from monitoring.text_statistics import MODULES, measure
from tests.conftest import ROOT

LABELS = HEADER[2:]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the lines that a listener receives from the local server."""
    result: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            result.append(record.getMessage())

    log, listener = logging.getLogger("mlops.observed"), Listener()
    log.addHandler(listener)
    monkeypatch.setenv("MLOPS_SAMPLE", "1")
    monkeypatch.setenv("MLOPS_MODEL_DIGEST", "abc")
    yield result
    log.removeHandler(listener)


def reference(folder: Path, weights: list[float] | None = None, **values: list[Any]) -> dict[str, Any]:
    write_reference([folder], values, weights)
    return dict(json.loads((folder / FILE).read_text())["measures"])


def response(instances: list[Any], predictions: list[Any]) -> Any:
    """Return a response as `requests` passes it to output_handler in the container."""
    request = SimpleNamespace(body=json.dumps({"instances": instances}))
    return SimpleNamespace(request=request, content=json.dumps({"predictions": predictions}).encode())


def context(attributes: str | None = None) -> Any:
    return SimpleNamespace(custom_attributes=attributes)


def test_without_sampling_not_even_the_answer_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference(tmp_path, x=[1.0, 2.0])
    monkeypatch.delenv("MLOPS_SAMPLE", raising=False)
    Observer(tmp_path, lambda *_: {}).offer(None, None)  # type: ignore[arg-type]
    monkeypatch.setenv("MLOPS_SAMPLE", "1")
    Observer(tmp_path / "elsewhere", lambda *_: {}).offer(None, None)  # type: ignore[arg-type]


def test_a_request_is_put_into_a_queue_and_measured_by_another_thread(tmp_path: Path, lines: list[str]) -> None:
    import threading

    reference(tmp_path, x=[1.0, 2.0, 3.0])
    measuring: list[str] = []

    def measured(instances: list[Any], _: list[Any]) -> dict[str, list[Any]]:
        measuring.append(threading.current_thread().name)
        return {"x": instances}

    observer = Observer(tmp_path, measured)
    observer.offer(response([1, 5], [[0], [0]]), context("tfs-model-name=model"))
    observer.offer(response([1], [[0]]), context(UNOBSERVED))
    deadline = threading.Event()
    while not lines and not deadline.wait(0.05):
        pass
    assert set(measuring) == {"observer"}
    (line,) = lines
    message = json.loads(line.removeprefix(f"{LINE} "))
    assert {name: message[name] for name in ("model", "requests", "rows", "squares")} == {
        "model": "abc", "requests": 1, "rows": 2, "squares": 4,
    }  # fmt: skip
    assert message["measures"]["x"]["sum"] == 6
    assert sum(message["measures"]["x"]["counts"].values()) == 2


def test_the_number_of_waiting_measurements_is_limited(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference(tmp_path, x=[1.0, 2.0])
    monkeypatch.setattr("mlops_scripts.observation.WAITING_BYTES", 100)
    observer = Observer(tmp_path, lambda instances, _: {"x": [len(instance) for instance in instances]})
    monkeypatch.setattr(observer, "_work", lambda: None)
    for _ in range(10):
        observer.offer(response(["a" * 30], [[0]]), context())
    observer.close()
    (line,) = lines
    assert json.loads(line.split(" ", 1)[1])["requests"] == 1


SERVING = f"""
import sys
sys.path.insert(0, {str(LIBRARY)!r})
import json
from pathlib import Path
from types import SimpleNamespace as Some
from mlops_scripts.observation import Observer

observer = Observer(Path.cwd(), lambda texts, rows: {{"length": [len(text) for text in texts]}})
answer = Some(request=Some(body=json.dumps({{"instances": ["a secret"]}})), content=b'{{"predictions": [[0.5]]}}')
for _ in range(3):
    observer.offer(answer, Some(custom_attributes=None))
assert "tensorflow" not in sys.modules and "numpy" not in sys.modules
"""


def test_in_a_container_the_counts_are_lines_on_stdout_at_the_end_too(tmp_path: Path) -> None:
    reference(tmp_path, length=[4.0, 8.0, 12.0])
    environment = {**os.environ, "MLOPS_SAMPLE": "1", "MLOPS_MODEL_DIGEST": "d1"}
    done = subprocess.run(
        [sys.executable, "-c", SERVING], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    (line,) = done.stdout.splitlines()
    message = json.loads(line.removeprefix(f"{LINE} "))
    assert (message["model"], message["requests"], message["measures"]["length"]["sum"]) == ("d1", 3, 24.0)
    assert "secret" not in done.stdout + done.stderr


def test_the_counts_of_several_requests_are_one_line() -> None:
    """For any number of requests a worker writes one line per interval, so the cost of AWS's log is limited."""
    assert SECONDS >= 5
    tally, lines = Tally({"x": [1.0]}), []
    log = logging.getLogger("mlops.observed")
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for value in range(5000):
        tally.add(1, {"x": [value]})
    tally.tell()
    tally.tell()
    log.removeHandler(handler)
    assert len(lines) == 1
    assert len(lines[0].getMessage()) < 200


def test_bins_are_equally_full(tmp_path: Path) -> None:
    measure = reference(tmp_path, x=list(range(1000)))["x"]
    assert measure["mean"] == pytest.approx(499.5)
    assert len(measure["counts"]) == 10
    assert min(measure["counts"]) > 90
    assert sum(measure["counts"]) == pytest.approx(1000)


def test_a_value_that_is_most_of_them_has_a_bin_of_its_own(tmp_path: Path) -> None:
    measure = reference(tmp_path, x=[0.0] * 700 + [float(n) for n in range(1, 301)])["x"]
    assert measure["counts"][:2] == [0, 700], "below it, and it"
    assert reference(tmp_path, x=[2.0] * 150)["x"]["counts"] == [0, 150, 0]


@pytest.mark.parametrize(("rows", "bins"), [(2000, 10), (200, 4), (30, 2)])
def test_few_rows_have_few_bins(tmp_path: Path, rows: int, bins: int) -> None:
    assert len(reference(tmp_path, x=list(range(rows)))["x"]["counts"]) == bins


def test_gaps_are_left_out(tmp_path: Path) -> None:
    measure = reference(tmp_path, x=[1, None, float("nan"), "a text", 3])["x"]
    assert (measure["mean"], sum(measure["counts"])) == (2, 2)
    assert reference(tmp_path, x=[None])["x"] == {"mean": 0.0, "cuts": [], "counts": [0.0]}


def test_the_number_of_weighted_rows_is_the_effective_number(tmp_path: Path) -> None:
    """Nine rows in ten have a ninth of the weight:

    they are half of the mean, and the effective number of rows is lower.
    """
    measure = reference(tmp_path, [1 / 9] * 90 + [1.0] * 10, x=[0.0] * 90 + [1.0] * 10)["x"]
    assert measure["mean"] == pytest.approx(0.5)
    assert sum(measure["counts"]) == pytest.approx(20**2 / (90 / 81 + 10), abs=0.01)


def test_a_text_and_its_answer_become_numbers() -> None:
    texts = ["The CAT sleeps!", "", "the the"]
    counts = [(4, 0.5), (0, 0.0), (2, 0.0)]
    answers = [
        {"probabilities": [0.1 * number] * 6, "words": words, "unknown_words": unknown}
        for number, (words, unknown) in enumerate(counts, 1)
    ]
    measured = measure(LABELS, texts, answers)
    assert measured["characters"] == [15, 0, 7]
    assert measured["words"] == [4, 0, 2]
    assert measured["unknown words"] == [0.5, None, 0]
    assert measured[f"score {LABELS[0]}"] == pytest.approx([0.1, 0.2, 0.3])
    assert set(measured) == {"characters", "words", "unknown words", *(f"score {label}" for label in LABELS)}


def test_the_package_has_the_files_for_the_measurements(tiny_training: Path) -> None:
    code = tiny_training / "model" / "code"
    files = {path.relative_to(code).as_posix() for path in code.rglob("*")}
    assert {"inference.py", "mlops_scripts/observation.py", *MODULES, FILE} <= files
    assert (code / FILE).read_bytes() == (tiny_training / "output" / FILE).read_bytes()
    measures = json.loads((code / FILE).read_text())["measures"]
    assert set(measures) == {"characters", "words", "unknown words", *(f"score {label}" for label in LABELS)}
    assert all(sum(measure["counts"]) > 100 for measure in measures.values())
    assert 0 <= measures["unknown words"]["mean"] < 0.3


def test_the_command_of_the_model_page_puts_the_library_on_pythons_path() -> None:
    (command,) = [
        line
        for line in (ROOT / "docs" / "development" / "model.md").read_text().splitlines()
        if line.startswith("export ")
    ]
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    script = f"{command}\npython -c 'import monitoring.text_statistics as module; print(module.LIBRARY)'"
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT / "training", env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(LIBRARY / "mlops_scripts")]
