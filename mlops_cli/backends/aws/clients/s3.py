"""The project's part of an S3 bucket: keys are relative to the project's prefix; other objects are never touched."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError, or_none
from mlops_cli.core.progress import Report, no_report
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.json_text import parse_json

ABSENT = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchVersion"})
# Retries for connections that break while the body is read: botocore repeats requests, but not the reading.
BROKEN_OFF = frozenset(
    {"ResponseStreamingError", "IncompleteReadError", "ReadTimeoutError", "ConnectionClosedError"}
    | {"FlexibleChecksumError"}
)
PART_BYTES = 16 << 20
# The version of every object in a bucket without versioning.
UNVERSIONED = "null"
DELETE_AT_ONCE = 1000
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class S3Object:
    """One listed object; ``modified`` in seconds since the epoch."""

    key: str
    size: int
    modified: float


@dataclass(frozen=True)
class ObjectMetadata:
    """Metadata of an object. ``sha256``: in hex, sent at the upload; ``checksum``: by S3, of the whole object."""

    version: str
    sha256: str
    checksum: str


class Bucket:
    """``kms_key``: encrypts every written object. A company's policy may require it besides the bucket's own key."""

    def __init__(self, client: Client, name: str, prefix: str, kms_key: str = "") -> None:
        self.client = client
        self.name = name
        self.prefix = prefix
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}

    def full_key(self, key: str) -> str:
        return self.prefix + key

    def uri(self, key: str = "") -> str:
        return f"s3://{self.name}/{self.full_key(key)}"

    def https_url(self, key: str) -> str:
        """Return an object's HTTPS address, for services that accept no s3:// address. Reading needs credentials."""
        region = self.client.raw.meta.region_name
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://s3.{region}.{domain}/{self.name}/{self.full_key(key)}"

    def key_of(self, uri: str) -> str:
        """Return the key of the project's object with the address ``uri``."""
        return uri.removeprefix(f"s3://{self.name}/").removeprefix(self.prefix)

    def is_reachable(self) -> bool:
        """Return True if the bucket exists; raise AwsError if access is denied."""
        try:
            self.client.head_bucket(Bucket=self.name)
        except AwsError as error:
            if error.is_not_found:
                return False
            raise
        return True

    def metadata(self, key: str, version: str = "") -> ObjectMetadata | None:
        """Return the metadata of an object, or of one of its versions; None if it does not exist."""
        which = {"VersionId": version} if version else {}
        try:
            head = self.client.head_object(Bucket=self.name, Key=self.full_key(key), ChecksumMode="ENABLED", **which)
        except AwsError as error:
            if error.code in ABSENT:
                return None
            raise
        checksum = head.get("ChecksumSHA256", "")
        # A checksum of several parts ("…-3") is not the checksum of the file.
        whole = base64.b64decode(checksum).hex() if checksum and "-" not in checksum else ""
        return ObjectMetadata(head.get("VersionId", ""), head["Metadata"].get("sha256", ""), whole)

    def exists(self, key: str) -> bool:
        return self.metadata(key) is not None

    def list_objects(self, key_prefix: str = "") -> Iterator[S3Object]:
        """Yield every object below ``key_prefix``, in the order of keys."""
        entries = self.client.pages("list_objects_v2", "Contents", Bucket=self.name, Prefix=self.full_key(key_prefix))
        for entry in entries:
            yield S3Object(entry["Key"].removeprefix(self.prefix), entry["Size"], entry["LastModified"].timestamp())

    def get(self, key: str, version: str = "") -> bytes | None:
        """Return the content of an object, or of one of its versions; None if it does not exist."""
        for last in (False, False, False, True):
            try:
                return self._read(key, version)
            except AwsError as error:
                if error.code in ABSENT:
                    return None
                if last or error.code not in BROKEN_OFF:
                    raise
        raise AssertionError

    def _read(self, key: str, version: str) -> bytes:
        which = {"VersionId": version} if version else {}
        answer = self.client.get_object(Bucket=self.name, Key=self.full_key(key), **which)
        with self.client.reading():
            return bytes(answer["Body"].read())

    def presigned_url(self, key: str, seconds: int = 3600) -> str:
        """Return a URL with which anyone can read the object for this number of seconds."""
        target = {"Bucket": self.name, "Key": self.full_key(key)}
        return str(self.client.generate_presigned_url("get_object", Params=target, ExpiresIn=seconds))

    def get_json(self, key: str, version: str = "") -> Any:
        """Return the value of a JSON object, or of one of its versions; None if it does not exist."""
        content = self.get(key, version)
        return None if content is None else parse_json(content)

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream", **conditions: str) -> str:
        """Write an object if S3's ``conditions`` are met. Return its version."""
        answer = self.client.put_object(
            Bucket=self.name,
            Key=self.full_key(key),
            Body=content,
            ContentType=content_type,
            ChecksumAlgorithm="SHA256",
            **self._encryption,
            **conditions,
        )
        return str(answer.get("VersionId", ""))

    def put_once(self, key: str, content: bytes, content_type: str) -> ObjectMetadata:
        """Write an object that never changes. Return the metadata of the object under this key, new or existing."""
        try:
            self.put(key, content, content_type, IfNoneMatch="*")
        except AwsError as error:
            if error.code not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
        metadata = self.metadata(key)
        assert metadata is not None, "the object was just written"
        return metadata

    def put_json(self, key: str, value: Any) -> str:
        return self.put(key, json.dumps(value, indent=2).encode() + b"\n", JSON_TYPE)

    def upload(self, path: Path, key: str, report: Report = no_report, sha256: str = "") -> bool:
        """Upload a file. S3 verifies each part of a large file. Return False if the same object exists already."""
        sha256 = sha256 or digest_file(path)
        existing = self.metadata(key)
        if existing and existing.sha256 == sha256:
            return False
        for unfinished in self.uploads(key):  # left by a killed command
            self.abort(unfinished)
        self._upload_with_digest(path, key, sha256, UploadProgress(report, path.stat().st_size))
        return True

    def _upload_with_digest(self, path: Path, key: str, sha256: str, progress: UploadProgress) -> None:
        from boto3.s3.transfer import TransferConfig

        with path.open("rb") as stream:
            self.client.upload_fileobj(
                stream,
                self.name,
                self.full_key(key),
                ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": sha256}, **self._encryption},
                Callback=progress,
                Config=TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES),
            )

    def download(self, key: str, path: Path) -> None:
        """Write an object to ``path``. The file appears only when it is complete."""
        partial = path.with_name(f"{path.name}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.client.download_file(self.name, self.full_key(key), str(partial))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def copy(self, source_key: str, key: str, metadata: dict[str, str]) -> None:
        """Copy an object of up to 5 GB inside the bucket. S3 computes a new checksum over the whole object."""
        self.client.copy_object(
            Bucket=self.name,
            Key=self.full_key(key),
            CopySource={"Bucket": self.name, "Key": self.full_key(source_key)},
            MetadataDirective="REPLACE",
            Metadata=metadata,
            ChecksumAlgorithm="SHA256",
            **self._encryption,
        )

    def versions(self, key_prefix: str = "") -> Iterator[dict[str, Any]]:
        """Yield every version and delete marker below ``key_prefix``: Key, VersionId and, for versions, Size."""
        arguments = {"Bucket": self.name, "Prefix": self.full_key(key_prefix)}
        yield from self.client.pages("list_object_versions", "Versions", **arguments)
        yield from self.client.pages("list_object_versions", "DeleteMarkers", **arguments)

    def uploads(self, key_prefix: str = "") -> Iterator[dict[str, Any]]:
        """Yield every unfinished multipart upload below ``key_prefix``, with Key and UploadId."""
        return self.client.pages(
            "list_multipart_uploads", "Uploads", Bucket=self.name, Prefix=self.full_key(key_prefix)
        )

    def delete(self, key_prefix: str) -> None:
        """Delete all versions and unfinished uploads below ``key_prefix``."""
        self.delete_versions(list(self.versions(key_prefix)))
        for upload in self.uploads(key_prefix):
            self.abort(upload)

    def delete_versions(self, versions: list[dict[str, Any]]) -> None:
        """Delete exactly these entries, which ``versions`` has returned."""
        for start in range(0, len(versions), DELETE_AT_ONCE):
            batch = versions[start : start + DELETE_AT_ONCE]
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in batch]
            answer = self.client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise AwsError(
                    f"s3://{self.name}/{error['Key']} could not be deleted: {error.get('Message', '')}",
                    "Fix this, then repeat the command.",
                    str(error.get("Code", "")),
                )

    def abort(self, upload: dict[str, Any]) -> None:
        """Abort an unfinished upload, an entry of ``uploads``. It is no error if it has finished since."""
        or_none(self.client.abort_multipart_upload, Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"])


class UploadProgress:
    """Reports the bytes of a transfer. Several threads call it, each with the number of additional bytes."""

    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, more: int) -> None:
        with self._lock:
            self._done += more
            self._report("upload", self._done, self._total, "B")
