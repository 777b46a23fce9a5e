"""The loopback server in front of the endpoint."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlops_cli.backends.aws.clients.endpoint import DeployedModel
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.stages.endpoint_proxy import endpoint_proxy
from mlops_cli.backends.aws.stages.gates import GateRunner
from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.model_versions import needs_rollback
from mlops_cli.core.runs import Status, new_run
from mlops_cli.core.stages import ENDPOINT_GATE
from mlops_cli.errors import MlopsError
from mlops_cli.project.paths import Project
from mlops_cli.project.state_dir import create_state_dir
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import USE_CASES


def echo(body: bytes, content_type: str) -> tuple[InvocationResponse, str]:
    return InvocationResponse(200, content_type.encode() + b" " + body, 0.0), "text/csv"


def ask(url: str, body: bytes = b"a,b") -> http.client.HTTPResponse:
    return urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "text/csv"}))


def test_a_response_has_the_digest_of_the_live_model() -> None:
    with endpoint_proxy(echo, "abc") as proxy, ask(proxy.url) as answer:
        assert (answer.status, answer.read()) == (200, b"text/csv a,b")
        assert answer.headers["Content-Type"] == "text/csv"
        assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "model-digest=abc"


def test_an_error_of_the_model_keeps_its_status() -> None:
    refused = (InvocationResponse(400, b"no texts", 0.0), "application/json")
    with endpoint_proxy(lambda *_: refused, "abc") as proxy, pytest.raises(urllib.error.HTTPError) as caught:
        ask(proxy.url)
    with caught.value as answer:
        assert (answer.code, answer.read()) == (400, b"no texts")


def test_an_unreachable_endpoint_is_reported_with_the_reason() -> None:
    def fails(body: bytes, content_type: str) -> tuple[InvocationResponse, str]:
        raise MlopsError("There is no endpoint tiny-dev.")

    with endpoint_proxy(fails, "") as proxy, pytest.raises(urllib.error.HTTPError) as caught:
        ask(proxy.url)
    with caught.value as answer:
        assert (answer.code, answer.read()) == (502, b"There is no endpoint tiny-dev.")


CALLERS = ["AccessDeniedException", "ThrottlingException"]


@pytest.mark.parametrize("code", [*CALLERS, "InternalFailure"])
def test_a_gate_without_access_to_the_endpoint_does_not_judge_the_model(tmp_path: Path, code: str) -> None:
    """A failed gate would lead to a rollback, and reject the tested model."""

    def refuses(body: bytes, content_type: str) -> tuple[InvocationResponse, str]:
        raise AwsError("AWS refused it.", "", code)

    shutil.copytree(USE_CASES / "tiny" / "training", tmp_path / "training")
    project = Project(tmp_path)
    create_state_dir(project)
    endpoint: Any = SimpleNamespace(invoke=refuses, deployed_model=lambda: DeployedModel("c"))
    unused: Any = None
    gate_runner = GateRunner(project, load_use_case(project.use_case_file), unused, endpoint, unused, dict)
    with pytest.raises(StageFailed) as caught:
        gate_runner.run(ENDPOINT_GATE, new_run("r1", {}))
    run = new_run("r1", {})
    run.deployment.status, run.endpoint_gate.status = Status.DONE, Status.FAILED
    run.endpoint_gate.detail = caught.value.detail
    assert needs_rollback(run) is (code not in CALLERS)
    assert (caught.value.message == "AWS refused it.") is (code in CALLERS)


def test_a_connection_is_kept_for_the_next_request() -> None:
    with endpoint_proxy(echo, "abc") as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc)
        for _ in range(3):
            connection.request("POST", "/invocations", b"x")
            assert connection.getresponse().read() == b"application/json x"
        connection.close()


def test_it_is_gone_afterwards() -> None:
    with endpoint_proxy(echo, "abc") as proxy:
        pass
    with pytest.raises(urllib.error.URLError):
        ask(proxy.url)
