"""A proxy in front of the simulated AWS that throttles, fails, times out and drops connections, as AWS may do."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_simulator.fixture import Aws
from tests.conftest import free_port, wait_for

# S3 says SlowDown with 503 instead: a HEAD has no body that could name what a 400 means.
THROTTLING = ("cloudformation", "codecommit", "codepipeline", "codebuild", "iam", "logs", "sagemaker", "states", "sts")
# Of all calls one in five: throttled, broken, unavailable, timed out at a gateway, or cut off.
ONE_IN_FIVE: tuple[dict[str, Any], ...] = (
    {"service": "s3", "probability": 0.08, "error": {"code": "SlowDown", "status": 503}},
    *(
        {"service": name, "probability": 0.06, "error": {"code": "ThrottlingException", "status": 400}}
        for name in THROTTLING
    ),
    {"service": "*", "probability": 0.05, "error": {"code": "InternalFailure", "status": 500}},
    {"service": "*", "probability": 0.05, "error": {"code": "ServiceUnavailable", "status": 503}},
    {"service": "*", "probability": 0.02, "timeout_ms": 50},
    {"service": "*", "probability": 0.03, "reset": True},
)


@dataclass(frozen=True)
class Faulty:
    """``environment`` makes a command use the proxy."""

    url: str
    environment: dict[str, str]

    def fired(self) -> list[dict[str, Any]]:
        """Return all faults so far."""
        with urllib.request.urlopen(f"{self.url}/_microburst/fired") as answer:
            return list(json.load(answer))


@contextmanager
def faulty(aws: Aws, folder: Path, rules: tuple[dict[str, Any], ...] = ONE_IN_FIVE) -> Iterator[Faulty]:
    config = folder / "faults.json"  # JSON is YAML, too
    config.write_text(json.dumps({"rules": list(rules)}))
    port = free_port()
    command = [sys.executable, "-m", "microburst", "--upstream", aws.url, "--port", str(port), "--config", str(config)]
    with (folder / "faults.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(url))
        yield Faulty(url, {**aws.environment, "AWS_ENDPOINT_URL": url})
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/_microburst/health").close()
    except OSError:
        return False
    return True
