"""The limits of a decision and the shortfalls that it accepts, as one document with a digest. No IO."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlops_cli.files.hashing import digest_bytes

DIGEST_LENGTH = 32


@dataclass(frozen=True)
class AcceptedLimits:
    limits: Mapping[str, str]
    shortfalls: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        values = {"limits": dict(self.limits), "shortfalls": list(self.shortfalls)}
        return json.dumps(values, sort_keys=True, indent=1).encode() + b"\n"

    @property
    def digest(self) -> str:
        return digest_bytes(self.content)[:DIGEST_LENGTH]


LoadAccepted = Callable[[str], AcceptedLimits | None]


def none_accepted(digest: str) -> AcceptedLimits | None:  # noqa: ARG001
    """Load nothing, for callers that need no limits."""
    return None
