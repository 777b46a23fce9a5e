"""Inputs and outputs of a build: zips in the pipeline's bucket, read and written by the project's role."""

from __future__ import annotations

import fnmatch
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from aws_simulator.services.codebuild.build import PhaseError, Place
from aws_simulator.services.codebuild.buildspec import Files
from aws_simulator.services.sagemaker.storage import encryption


def download(s3: Any, artifact: Place, folder: Path) -> None:
    """Unpack an input artifact. Raise PhaseError as in CodeBuild's phase DOWNLOAD_SOURCE."""
    try:
        body = s3.get_object(Bucket=artifact.bucket, Key=artifact.key)["Body"].read()
    except ClientError as error:
        arn = f"arn:aws:s3:::{artifact.bucket}/{artifact.key}"
        message = f"{error.response['Error']['Message']} for primary source and source version {arn}"
        raise PhaseError("CLIENT_ERROR", message) from error
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, folder)
            if mode := entry.external_attr >> 16 & 0o777:
                Path(path).chmod(mode | 0o600)


def upload(s3: Any, artifact: Place, files: Files, folder: Path) -> str:
    """Pack and upload an output artifact. Return its ARN. Raise PhaseError as in CodeBuild's phase UPLOAD_ARTIFACTS."""
    base = folder / files.base
    if not base.is_dir():
        raise PhaseError("CLIENT_ERROR", "no matching base directory path found")
    matches = list(matching(files, base))
    if not matches:
        raise PhaseError("CLIENT_ERROR", "no matching artifact paths found")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in matches:
            archive.write(path, path.name if files.flat else path.relative_to(base).as_posix())
    try:
        encrypted = encryption(artifact.kms_key)
        s3.put_object(Bucket=artifact.bucket, Key=artifact.key, Body=buffer.getvalue(), **encrypted)
    except ClientError as error:
        raise PhaseError("CLIENT_ERROR", f"Error in UPLOAD_ARTIFACTS phase: {error}") from error
    return f"arn:aws:s3:::{artifact.bucket}/{artifact.key}"


def matching(files: Files, base: Path) -> Iterator[Path]:
    """Return the files below ``base`` that match a buildspec's patterns. ** matches any number of folders."""
    for path in sorted(path for path in base.rglob("*") if path.is_file()):
        name = path.relative_to(base).as_posix()
        if any(_matches(name, pattern) for pattern in files.patterns) and not any(
            _matches(name, pattern) for pattern in files.excluded
        ):
            yield path


def _matches(name: str, pattern: str) -> bool:
    return _parts_match(name.split("/"), pattern.removeprefix("./").split("/"))


def _parts_match(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_parts_match(names[skipped:], patterns[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], patterns[0]) and _parts_match(names[1:], patterns[1:])
