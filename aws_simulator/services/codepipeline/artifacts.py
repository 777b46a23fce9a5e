"""Artifacts: zips in the pipeline's bucket, read and written with the credentials of the action's role."""

from __future__ import annotations

import io
import random
import string
import zipfile
from collections.abc import Mapping
from typing import Any

from aws_simulator.services.codepipeline.records import Action, Artifact
from aws_simulator.services.sagemaker.storage import encryption

ALPHABET = string.ascii_letters + string.digits


def artifact_location(action: Action, name: str) -> Artifact:
    """Return the location of an output artifact: PIPELINE/ARTIFACT/random, with names shortened as by AWS."""
    pipeline = action.execution.declaration
    key = f"{pipeline['name'][:20]}/{name[:10]}/{''.join(random.choices(ALPHABET, k=7))}"
    store = pipeline["artifactStore"]
    return Artifact(name, store["location"], key, (store.get("encryptionKey") or {}).get("id", ""))


def artifact_locations(action: Action) -> list[Artifact]:
    return [
        artifact_location(action, output_artifact["name"])
        for output_artifact in action.declaration.get("outputArtifacts", [])
    ]


def put(s3: Any, artifact: Artifact, body: bytes) -> None:
    s3.put_object(Bucket=artifact.bucket, Key=artifact.key, Body=body, **encryption(artifact.kms_key))


def get_file(s3: Any, artifact: Artifact, path: str) -> bytes:
    """Return one file of an artifact. Raise KeyError if it is missing."""
    body = s3.get_object(Bucket=artifact.bucket, Key=artifact.key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.read(path)


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
