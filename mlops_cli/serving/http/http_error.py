"""An error response of the endpoint itself, not of the model."""

from __future__ import annotations

from http import HTTPStatus


class HttpError(Exception):
    """``kind``: SageMaker's name of the error."""

    def __init__(self, status: HTTPStatus, kind: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers
