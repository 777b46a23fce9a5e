"""The output of a SageMaker job in S3, in the form of the local target: the same digests of the same files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.clients.s3 import Bucket, S3Object
from mlops_cli.core.engine import StageFailed, StageResult
from mlops_cli.core.jobs.script_job import parse_json_output
from mlops_cli.core.runs import CONTINUE, StageRun
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.files.archive_names import is_inside
from mlops_cli.files.hashing import digest_bytes, digest_file, digest_folder
from mlops_cli.files.tar_archives import entries, open_tar
from mlops_cli.frameworks.package_check import pickles

PACKAGE = "model.tar.gz"
MODEL, REPORTS = "output/model.tar.gz", "output/output.tar.gz"
PROFILE = "profile.json"
# An entry in the detail of a processing stage that describes its job, not its output.
OF_THE_JOB = ("job", "machine", "requirements", "files")
# An entry in the detail of a training: its model package has a list of packages for the container.
INSTALLS, SERVING_REQUIREMENTS = "installs", "code/requirements.txt"
# An entry in the detail of a training: the S3 version of its reports that the approval's step has verified, or "".
REPORTS_VERSION = "reports_version"


def listing_digest(items: Iterable[S3Object]) -> str:
    """Return one digest of names, sizes and times, to detect changed objects without reading them."""
    return digest_bytes("\n".join(f"{item.key}:{item.size}:{item.modified}" for item in items).encode())


def download(bucket: Bucket, artifact: str, folder: Path) -> Path:
    """Return the folder with an artifact's files, or with one object. Download them only if they are missing."""
    above = artifact[: artifact.rfind("/") + 1]
    for item in bucket.list_objects(artifact):
        path = folder / item.key.removeprefix(above)
        if not path.resolve().is_relative_to(folder.resolve()):
            raise StageFailed(f"{item.key} is a path outside of its folder.", CONTINUE)
        if not item.key.endswith("/") and not path.exists():
            bucket.download(item.key, path)
    return folder


def outcome(stage: Stage, bucket: Bucket, artifact: str, folder: Path) -> StageResult:
    """Return the result of a job that succeeded. Raise StageFailed if its output is incomplete or invalid."""
    items = list(bucket.list_objects(artifact))
    read = _training if stage.kind is Kind.TRAINING else _processing
    result = read(stage, bucket, artifact, folder)
    return StageResult(result.output, artifact, {**result.detail, "files": listing_digest(items)})


def _processing(stage: Stage, bucket: Bucket, artifact: str, folder: Path) -> StageResult:
    download(bucket, artifact, folder)
    if not folder.is_dir():
        raise StageFailed(f"{stage.script} succeeded but wrote nothing into --output-dir.", CONTINUE)
    profile = folder / PROFILE
    content = profile.read_bytes() if profile.is_file() else b"{}"
    return StageResult(digest_folder(folder), detail=_detail(PROFILE, content))


def reread(bucket: Bucket, record: StageRun) -> dict[str, Any]:
    """Return the details of another run's processing job, read from its output and not from the record."""
    content = bucket.get(record.artifact + PROFILE)
    kept = {name: value for name, value in record.detail.items() if name in OF_THE_JOB}
    return {**kept, **_detail(PROFILE, content or b"{}")}


def _training(stage: Stage, bucket: Bucket, artifact: str, folder: Path) -> StageResult:
    """Return the result of a training job. The archive's digest identifies the model."""
    model, reports = folder / PACKAGE, folder / "output.tar.gz"
    bucket.download(artifact + MODEL, model)
    members = {name.removeprefix("./") for name in _members(model)}
    if not members:
        raise StageFailed(f"{stage.script} succeeded but wrote no model into SM_MODEL_DIR.", CONTINUE)
    if bucket.exists(artifact + REPORTS):
        bucket.download(artifact + REPORTS, reports)
    metrics = _member(reports, "metrics.json") if reports.exists() else b"{}"
    installs = {INSTALLS: True} if SERVING_REQUIREMENTS in members else {}
    return StageResult(digest_file(model), detail={**_detail("metrics.json", metrics), **installs, **pickles(members)})


def _members(archive: Path) -> list[str]:
    with open_tar(archive) as opened:
        return [member.name for member in entries(opened) if member.isfile()]


def _member(archive: Path, name: str) -> bytes:
    """Return the content of a file at the top of an archive; an empty JSON object if it is missing."""
    with open_tar(archive) as opened:
        for member in opened:
            content = opened.extractfile(member) if member.name.removeprefix("./") == name else None
            if content:
                return content.read()
    return b"{}"


def training_outputs(bucket: Bucket, trained: StageRun, *names: str) -> list[bytes | None]:
    """Return the files that a training wrote beside its metrics, from SageMaker's archive. It may have expired."""
    content = _reports(bucket, trained)
    if content is None:
        return [None for _ in names]
    with open_tar(Path(REPORTS), file=io.BytesIO(content)) as archive:
        named = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
        opened = (archive.extractfile(named[name]) if name in named else None for name in names)
        return [file.read() if file else None for file in opened]


def own_files(bucket: Bucket, trained: StageRun, folder: str, most: int, largest: int) -> dict[str, bytes | None]:
    """Return the files in a folder of a training's output by name; None for a file larger than ``largest``.

    SageMaker packs no path that leads out of the folder. Such a path comes from another program and is left out.
    """
    content = _reports(bucket, trained)
    if content is None:
        return {}
    with open_tar(Path(REPORTS), file=io.BytesIO(content)) as archive:
        named = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
        below = (name for name in named if name.startswith(f"{folder}/"))
        names = sorted(name for name in below if is_inside(name.removeprefix(f"{folder}/")))[:most]
        opened = {name: archive.extractfile(named[name]) if named[name].size <= largest else None for name in names}
        return {name.removeprefix(f"{folder}/"): file.read() if file else None for name, file in opened.items()}


def _reports(bucket: Bucket, trained: StageRun) -> bytes | None:
    """Return a training's archive of reports in the verified version: jobs of other runs may write there."""
    version = trained.detail.get(REPORTS_VERSION)
    return None if version == "" else bucket.get(trained.artifact + REPORTS, version or "")


def _detail(name: str, content: bytes) -> dict[str, Any]:
    try:
        return parse_json_output(content.decode())
    except ValueError as error:
        raise StageFailed(f"{name} is not valid JSON: {error}.", CONTINUE) from None
