"""S3 requests of a job or an endpoint with the credentials of its role, and their error messages."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

ONE_THREAD = TransferConfig(use_threads=False)


class Failure(Exception):
    """The FailureReason of a job or an endpoint."""


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def objects(s3: Any, uri: str) -> Iterator[str]:
    """Return the keys that begin with the key in ``uri``. Raise ClientError."""
    bucket, prefix = split(uri)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", []) if not entry["Key"].endswith("/"))


def download(s3: Any, uri: str, folder: Path, share: tuple[int, int] = (0, 1)) -> list[str]:
    """Download every object below ``uri`` into ``folder``. A ``share`` (n, of) takes every of-th one, from n on."""
    bucket, prefix = split(uri)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        keys = sorted(objects(s3, uri))[share[0] :: share[1]]
        for key in keys:
            download_file(s3, f"s3://{bucket}/{key}", folder / _relative(key, prefix))
    except ClientError as error:
        raise Failure(
            f"ClientError: Data download failed:Unable to list objects under {uri} ({_words(error)})"
        ) from error
    return keys


def download_file(s3: Any, uri: str, target: Path) -> None:
    bucket, key = split(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        s3.download_file(bucket, key, str(target), Config=ONE_THREAD)
    except ClientError as error:
        raise Failure(f"ClientError: Data download failed:Unable to download object {uri} ({_words(error)})") from error


def encryption(kms_key: str) -> dict[str, str]:
    """Return the parameters that name the key of written objects; none without a key."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}


def upload_file(s3: Any, source: Path, uri: str, kms_key: str = "") -> None:
    bucket, key = split(uri)
    try:
        s3.upload_file(str(source), bucket, key, ExtraArgs=encryption(kms_key), Config=ONE_THREAD)
    except Exception as error:  # boto3 wraps the ClientError into an S3UploadFailedError
        raise Failure(f"ClientError: Artifact upload failed:Unable to upload to {uri} ({error})") from error


def upload(s3: Any, folder: Path, uri: str, kms_key: str = "") -> None:
    """Upload every file below ``folder``, with its name, to ``uri``."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            upload_file(s3, path, f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}", kms_key)


class Mirror:
    """A folder that is copied to S3 as it changes, as SageMaker does with checkpoints."""

    def __init__(self, s3: Any, folder: Path, uri: str) -> None:
        self._s3, self._folder, self._uri = s3, folder, uri
        self._seen: dict[Path, str] = {}

    def fetch(self) -> None:
        download(self._s3, f"{self._uri.rstrip('/')}/", self._folder)
        self._seen = {path: _digest(path) for path in self._files()}

    def push(self) -> None:
        """Copy the new or changed files. The script may remove any of them at any time."""
        for path in self._files():
            with tempfile.NamedTemporaryFile() as copy, contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path, copy.name)
                digest = _digest(Path(copy.name))
                if self._seen.get(path) != digest:
                    target = f"{self._uri.rstrip('/')}/{path.relative_to(self._folder).as_posix()}"
                    upload_file(self._s3, Path(copy.name), target)
                    self._seen[path] = digest

    def _files(self) -> Iterable[Path]:
        return [path for path in sorted(self._folder.rglob("*")) if path.is_file()]


def pack(folders: Iterable[Path], target: Path) -> bool:
    """Pack the folders' files as one .tar.gz as SageMaker does, with times and owners. Return False without files."""
    paths = {path.relative_to(folder).as_posix(): path for folder in folders for path in sorted(folder.rglob("*"))}
    if not paths:
        return False
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for name, path in paths.items():
            archive.add(path, name, recursive=False)
    return True


def _relative(key: str, prefix: str) -> str:
    if key.startswith(f"{prefix}/") or prefix.endswith("/") or not prefix:
        return key[len(prefix) :].lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _words(error: ClientError) -> str:
    details = error.response["Error"]
    return f"{details['Code']}: {details['Message']}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
