"""The real AWS clients, unchanged but for the endpoint's URL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from mlops_cli.serving.control import LocalEndpoint
from tests.conftest import LIMIT_SECONDS

NAME = "dev-comments"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}


@pytest.fixture
def runtime(running: LocalEndpoint) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=running.status().url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_boto3_invokes_the_endpoint(runtime: Any, packages: Any) -> None:
    body = json.dumps({"instances": ["one"]}).encode()
    answer = runtime.invoke_endpoint(EndpointName=NAME, ContentType="application/json", Body=body)
    assert len(json.loads(answer["Body"].read())["predictions"]) == 1
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["CustomAttributes"] == f"model-digest={packages('text-0').digest}"
    assert answer["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("other", b"{}", "ValidationError"),
        (NAME, b"no json", "ModelError"),
        (NAME, b"x" * 6_291_457, "ValidationError"),
    ],
    ids=["name", "body", "size"],
)
def test_boto3_gets_sagemakers_errors(runtime: Any, name: str, body: bytes, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body)
    assert caught.value.response["Error"]["Code"] == code


def test_boto3_reads_the_fields_of_a_model_error(runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName=NAME, ContentType="text/csv", Body=b"a,b")
    assert caught.value.response["OriginalStatusCode"] == 415
    assert "only application/json" in caught.value.response["OriginalMessage"]


def test_the_aws_command_invokes_the_endpoint(running: LocalEndpoint, tmp_path: Path, packages: Any) -> None:
    request, answer = tmp_path / "in.json", tmp_path / "out.json"
    request.write_text(json.dumps({"instances": ["one", "two"]}))
    done = aws(running, NAME, request, answer)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(answer.read_text())["predictions"]) == 2
    assert json.loads(done.stdout)["CustomAttributes"] == f"model-digest={packages('text-0').digest}"


def test_the_aws_command_shows_the_reason_of_an_error(running: LocalEndpoint, tmp_path: Path) -> None:
    request = tmp_path / "in.json"
    request.write_text("{}")
    done = aws(running, NAME, request, tmp_path / "out.json")
    assert done.returncode != 0
    assert "(ModelError)" in done.stderr and "no instances" in done.stderr


def aws(endpoint: LocalEndpoint, name: str, request: Path, answer: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("aws"), "sagemaker-runtime", "invoke-endpoint"),
            *("--endpoint-url", endpoint.status().url, "--endpoint-name", name),
            *("--content-type", "application/json", "--body", f"fileb://{request}", answer),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(request.parent), **CREDENTIALS},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
