"""S3: a caller that reads or writes an object in a bucket with a KMS key needs permissions on the key, too."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from ministack import app
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller

KEY = "x-amz-server-side-encryption-aws-kms-key-id"
ACTIONS = {"PUT": "kms:GenerateDataKey", "POST": "kms:GenerateDataKey", "GET": "kms:Decrypt"}
# Requests about an object that do not read or write its content.
WITHOUT_CONTENT = ("tagging", "acl", "uploads", "retention", "legal-hold", "delete")


def install() -> None:
    answer = app.SERVICE_HANDLERS["s3"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        action = ACTIONS.get(method)
        with_content = bool(key) and not any(name in query for name in WITHOUT_CONTENT)
        kms_key = s3._bucket_default_sse_headers(bucket).get(KEY, "") if action and with_content else ""
        if action and kms_key:
            caller = Caller(extract_access_key_id(headers, query), get_account_id(), get_region())
            try:
                caller.require(action, kms_key)
            except ServiceError as error:
                text = f"<Error><Code>AccessDenied</Code><Message>{escape(error.message)}</Message></Error>"
                return 403, {"Content-Type": "application/xml"}, text.encode()
        return await answer(method, path, headers, body, query)

    app.SERVICE_HANDLERS["s3"] = handle
