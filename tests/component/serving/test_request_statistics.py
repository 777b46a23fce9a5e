"""Measured requests: which ones are counted, and the counts after each kind of end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.monitoring.statistics import (
    CUSTOM_ATTRIBUTES,
    EXCLUDE_FROM_STATISTICS,
    KEPT_DAYS,
    Counts,
    Histogram,
)
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.control_files import EndpointDirectory
from mlops_cli.serving.supervision.request_statistics import add_counts, read_counts
from tests.conftest import LIMIT_SECONDS, wait_for

pytestmark = pytest.mark.slow

OBSERVING = """
import json
from pathlib import Path
from observation import Observer

def measure(texts, rows):
    if "broken" in texts:
        raise ValueError(texts)
    return {"length": [len(text) for text in texts], "first": [row[0] for row in rows]}

OBSERVER = Observer(Path(__file__).parent, measure)

def input_handler(data, context):
    return data.read()

def output_handler(response, context):
    OBSERVER.offer(response, context)
    return response.content, "application/json"
"""
REFERENCE = {
    "measures": {
        "length": {"mean": 5.0, "cuts": [4.0, 8.0], "counts": [10, 10, 10]},
        "first": {"mean": 0.05, "cuts": [0.05], "counts": [15, 15]},
    }
}


@pytest.fixture
def observing(packages: Any, package_of: Any, with_code: Any, tmp_path: Path) -> Callable[..., Any]:
    """Provide packages that measure requests; ``name`` distinguishes them."""

    def make(name: str, code: str = OBSERVING, reference: Any = REFERENCE) -> Any:
        folder = tmp_path / name
        shutil.copytree(packages("plain").folder, folder)
        with_code(folder, code)
        shutil.copy(LIBRARY / "observation.py", folder / "code")
        (folder / "code" / "observed.json").write_text(json.dumps(reference))
        (folder / "code" / "name").write_text(name)
        return package_of(folder)

    return make


def deployed(endpoint: LocalEndpoint, package: Any) -> LocalEndpoint:
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    return endpoint


def observed_folder(endpoint: LocalEndpoint) -> Path:
    return EndpointDirectory(endpoint.status().log.parent).observed


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_every_sampled_request_is_counted_and_no_text_is_kept(make_endpoint: Any, observing: Any, connect: Any) -> None:
    package = observing("one")
    endpoint = deployed(make_endpoint(sample=1.0), package)
    client = connect(endpoint)
    secret = "xyzzy-plugh-unheard-of"
    for text in ("ab", "abcdef", "abcdef", secret):
        client.ask("POST", "/invocations", {"instances": [text]})
    client.ask("POST", "/invocations", {"instances": ["a", "b", "c"]})
    statistics = wait_for(lambda: (counts := endpoint.read_statistics(package.digest, 1)).requests == 5 and counts)
    assert (statistics.requests, statistics.rows, statistics.squares) == (5, 7, 4 + 9)
    assert statistics.measures["length"].counts == {0: 4, 1: 2, 2: 1}
    assert statistics.measures["length"].total == 2 + 6 + 6 + len(secret) + 3
    assert statistics.measures["first"].rows == 7
    # Requests that are only a test are not traffic, on whichever way they come.
    endpoint.invoke(json.dumps({"instances": ["test"]}).encode(), "application/json")
    client.ask("POST", f"/invocations?{EXCLUDE_FROM_STATISTICS}", {"instances": ["test"]})
    client.ask(
        "POST",
        "/invocations",
        {"instances": ["test"]},
        {CUSTOM_ATTRIBUTES: f"tfs-model-name=model,{EXCLUDE_FROM_STATISTICS}"},
    )
    endpoint.stop(10)
    assert endpoint.read_statistics(package.digest, 1).requests == 5
    assert secret.encode() not in everything_in(endpoint.status().log.parent)


def test_off_means_that_nothing_is_measured_and_no_file_is_made(
    make_endpoint: Any, observing: Any, connect: Any
) -> None:
    package = observing("one")
    endpoint = deployed(make_endpoint(), package)
    for _ in range(20):
        assert connect(endpoint).ask("POST", "/invocations", {"instances": ["a"]}).status == 200
    folder = observed_folder(endpoint)
    endpoint.stop(10)
    assert not folder.exists()
    assert endpoint.read_statistics(package.digest, 1) == Counts()


def test_reported_counts_survive_kill_9(make_endpoint: Any, observing: Any, connect: Any) -> None:
    package = observing("one")
    endpoint = deployed(make_endpoint(sample=1.0), package)
    for _ in range(30):
        connect(endpoint).ask("POST", "/invocations", {"instances": ["abc"]})
    wait_for(lambda: endpoint.read_statistics(package.digest, 1).requests == 30)
    service = EndpointDirectory(endpoint.status().log.parent).read_service()
    assert service is not None and service.worker is not None
    os.kill(service.worker, signal.SIGKILL)
    wait_for(lambda: endpoint.status().state.value == "in-service")
    assert endpoint.read_statistics(package.digest, 1).requests == 30
    for _ in range(12):
        connect(endpoint).ask("POST", "/invocations", {"instances": ["abc"]})
    endpoint.stop(10)
    assert endpoint.read_statistics(package.digest, 1).requests == 42


def test_another_model_starts_with_new_counts_and_those_of_the_first_are_kept(
    make_endpoint: Any, observing: Any, connect: Any
) -> None:
    first, second = observing("one"), observing("two")
    endpoint = deployed(make_endpoint(sample=1.0), first)
    for _ in range(7):
        connect(endpoint).ask("POST", "/invocations", {"instances": ["abc"]})
    deployed(endpoint, second)
    for _ in range(3):
        connect(endpoint).ask("POST", "/invocations", {"instances": ["abc"]})
    wait_for(lambda: endpoint.read_statistics(second.digest, 1).requests == 3)
    wait_for(lambda: endpoint.read_statistics(first.digest, 1).requests == 7)  # the worker told before it left


def test_sampling_is_turned_on_by_deploying_the_same_model_again(make_endpoint: Any, observing: Any) -> None:
    endpoint = deployed(make_endpoint(), observing("one"))
    assert endpoint.status().sample == 0
    endpoint.sample = 0.25
    assert deployed(endpoint, observing("same")).status().sample == 0.25


def test_a_share_is_measured(make_endpoint: Any, observing: Any, connect: Any) -> None:
    package = observing("one")
    endpoint = deployed(make_endpoint(sample=0.2), package)
    client = connect(endpoint)
    for _ in range(1000):
        client.ask("POST", "/invocations", {"instances": ["abc"]})
    endpoint.stop(10)
    # Six standard deviations: by chance once in a thousand million times.
    assert abs(endpoint.read_statistics(package.digest, 1).requests - 200) < 6 * (1000 * 0.2 * 0.8) ** 0.5


def test_a_request_that_cannot_be_measured_is_answered_and_its_text_is_in_no_log(
    make_endpoint: Any, observing: Any, connect: Any
) -> None:
    package = observing("one")
    endpoint = deployed(make_endpoint(sample=1.0), package)
    client, secret = connect(endpoint), "never-to-be-written"
    for texts in (["broken", secret], ["broken", secret], ["fine"]):
        assert client.ask("POST", "/invocations", {"instances": texts}).status == 200
    log = endpoint.status().log
    endpoint.stop(10)
    assert endpoint.read_statistics(package.digest, 1).requests == 1
    wait_for(lambda: "requests cannot be measured: ValueError" in log.read_text())
    assert log.read_text().count("requests cannot be measured: ValueError") == 1
    assert secret.encode() not in everything_in(log.parent)


TALKATIVE = OBSERVING.replace(
    "OBSERVER = ",
    "import observation\nobservation.log.info('mlops-observed %s', '{\"requests\": \"a text\"}')\nOBSERVER = ",
)


def test_other_data_of_a_package_instead_of_counts_is_ignored(make_endpoint: Any, observing: Any, connect: Any) -> None:
    package = observing("one", TALKATIVE)
    endpoint = deployed(make_endpoint(sample=1.0), package)
    connect(endpoint).ask("POST", "/invocations", {"instances": ["abc"]})
    log = endpoint.status().log
    endpoint.stop(10)
    wait_for(lambda: "sent invalid request statistics" in log.read_text())
    assert endpoint.read_statistics(package.digest, 1).requests == 1


@pytest.mark.parametrize("reference", [{"measures": {"length": {"cuts": [2, 1], "counts": [1], "mean": 0}}}, []])
def test_a_model_with_a_damaged_reference_is_served(
    make_endpoint: Any, observing: Any, connect: Any, reference: Any
) -> None:
    endpoint = deployed(make_endpoint(sample=1.0), observing("one", reference=reference))
    assert connect(endpoint).ask("POST", "/invocations", {"instances": ["abc"]}).status == 200
    wait_for(lambda: "observed.json cannot be read" in endpoint.status().log.read_text())


def test_a_package_that_has_nothing_to_measure_serves_as_ever(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = deployed(make_endpoint(sample=1.0), packages("text-0"))
    assert connect(endpoint).predict("abc")
    assert not observed_folder(endpoint).exists()


def test_writers_do_not_lose_each_others_counts(tmp_path: Path) -> None:
    counts = Counts(1, 2, 4, {"x": Histogram(1.5, {0: 1, 3: 1})})
    file = tmp_path / "abc.json"
    threads = [threading.Thread(target=lambda: [add_counts(file, counts) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = read_counts(tmp_path, "abc", 1)
    assert (result.requests, result.rows, result.squares) == (80, 160, 320)
    assert result.measures["x"] == Histogram(120.0, {0: 80, 3: 80})


def test_the_file_is_bounded_and_old_days_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, clock, sizes = tmp_path / "abc.json", [1_700_000_000.0], []
    monkeypatch.setattr("time.time", lambda: clock[0])
    counts = Counts(1, 1, 1, {"x": Histogram(0.5, {random.Random(1).randrange(10): 1})})
    for _ in range(3 * KEPT_DAYS):
        add_counts(file, counts)
        sizes.append(file.stat().st_size)
        clock[0] += 86_400
    assert len(json.loads(file.read_text())) == KEPT_DAYS
    assert sizes[-1] == sizes[KEPT_DAYS - 1]
    clock[0] -= 86_400
    assert read_counts(tmp_path, "abc", 7).requests == 7
    assert read_counts(tmp_path, "abc", KEPT_DAYS).requests == KEPT_DAYS
