"""S3's CopyObject takes the checksum that is asked for; ministack looks for the header of PutObject, which is another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ministack.services import s3

if TYPE_CHECKING:
    from .simulator import Simulator

ASKED, UNDERSTOOD = "x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm"


def register(_: Simulator) -> None:
    copy = s3._copy_object

    def with_checksum(bucket: str, key: str, headers: dict[str, str]) -> Any:
        return copy(bucket, key, {UNDERSTOOD: headers[ASKED], **headers} if ASKED in headers else headers)

    s3._copy_object = with_checksum
