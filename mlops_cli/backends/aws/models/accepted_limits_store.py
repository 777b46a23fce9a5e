"""The documents with the limits of decisions in S3: one object for each content.

::

    decisions/accepted/DIGEST.json

The summary of a decision is too short for such a document, so it holds the digest. The repository's code cannot write
to this prefix.
"""

from __future__ import annotations

from mlops_cli.backends.aws.clients.s3 import JSON_TYPE, Bucket
from mlops_cli.backends.aws.models.accepted_limits import DIGEST_LENGTH, AcceptedLimits
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.files.json_text import parse_json


class AcceptedLimitsStore:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._known: dict[str, AcceptedLimits | None] = {}

    def save(self, accepted: AcceptedLimits) -> str:
        """Save the document. Return its digest."""
        self._bucket.put(_key(accepted.digest), accepted.content, JSON_TYPE)
        return accepted.digest

    def load(self, digest: str) -> AcceptedLimits | None:
        """Return the document with this digest; None if it is missing or its content has another digest."""
        if digest not in self._known:
            self._known[digest] = self._load(digest)
        return self._known[digest]

    def _load(self, digest: str) -> AcceptedLimits | None:
        content = self._bucket.get(_key(digest)) if digest else None
        if content is None or digest_bytes(content)[:DIGEST_LENGTH] != digest:
            return None
        values = parse_json(content)
        return AcceptedLimits(values["limits"], tuple(values["shortfalls"]))


def _key(digest: str) -> str:
    return f"decisions/accepted/{digest}.json"
