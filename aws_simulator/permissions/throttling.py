"""Throttle the requests to the simulated AWS: control ``throttle`` (every) refuses every nth request of each service.

The simulated services call each other unthrottled. ``CALLER`` in the user agent exempts a client, too.
Sources: Amazon S3 API Reference, "Error responses"; AWS query and JSON protocols in botocore's parsers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from aws_simulator import wire

CALLER = "aws-simulator"
SCOPE = re.compile(rb"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
MESSAGE = "Rate exceeded"


class Throttle:
    """``every``: 0 for no throttling. ``refused``: the number of refused requests by service."""

    def __init__(self) -> None:
        self.every = 0
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def set(self, arguments: dict[str, Any]) -> dict[str, int]:
        """Change ``every``, if the arguments name it. Return the number of refused requests by service."""
        if "every" in arguments:
            self.every = int(arguments["every"])
        return dict(self.refused)

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def answer(self, headers: Iterable[tuple[bytes, bytes]]) -> wire.Response | None:
        """Return the refusal of a request; None if the request is not throttled."""
        if not self.every:
            return None
        named = dict(headers)
        scope = SCOPE.search(named.get(b"authorization", b""))
        if scope is None or CALLER.encode() in named.get(b"user-agent", b""):
            return None
        service, content = scope[1].decode(), named.get(b"content-type", b"")
        if content == b"application/cbor":
            return None
        self.requests[service] += 1
        if self.requests[service] % self.every:
            return None
        self.refused[service] += 1
        return _refusal(service, content)


def _refusal(service: str, content: bytes) -> wire.Response:
    if service == "s3":
        body = f"<Error><Code>SlowDown</Code><Message>{MESSAGE}</Message></Error>"
        return 503, {"Content-Type": "application/xml"}, body.encode()
    if content.startswith(b"application/x-www-form-urlencoded"):
        body = f"<ErrorResponse><Error><Code>Throttling</Code><Message>{MESSAGE}</Message></Error></ErrorResponse>"
        return 400, {"Content-Type": "text/xml"}, body.encode()
    return wire.refused("ThrottlingException", MESSAGE, 400, {})
