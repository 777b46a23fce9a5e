"""An error response of an AWS service."""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """Becomes botocore's ClientError at the caller. ``facts``: further members of the modelled error shape."""

    def __init__(self, code: str, message: str, status: int = 400, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.facts = facts
