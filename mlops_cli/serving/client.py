"""An HTTP client for local servers. It uses only the standard library, so that commands start quickly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from mlops_cli.serving.control_files import Service


@dataclass(frozen=True)
class Response:
    """An HTTP response. Header names are in lower case. ``seconds``: the time of the whole exchange."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


def request(
    service: Service,
    method: str,
    path: str,
    timeout: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Send one request. Raise OSError if there is no response, or none in HTTP."""
    import http.client

    connection = http.client.HTTPConnection(_reachable(service.deployment.host), service.port, timeout=timeout)
    started = time.perf_counter()
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {error or type(error).__name__}") from error
    finally:
        connection.close()
    lower = {name.lower(): value for name, value in answer.getheaders()}
    return Response(answer.status, lower, content, time.perf_counter() - started)


def _reachable(host: str) -> str:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    return everywhere.get(host, host)


def base_url(host: str, port: int) -> str:
    reachable = _reachable(host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
