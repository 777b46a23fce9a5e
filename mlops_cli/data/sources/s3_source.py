"""S3 objects as a source: one object, or all objects below a prefix."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from mlops_cli.core.progress import Report
from mlops_cli.data.objects import ObjectStore, StoredObject
from mlops_cli.data.sources.source import FetchedSource, Origin, Source, State
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.archive_names import is_inside

SCHEME = "s3://"


class S3Source(Source):
    kind = "s3"

    @staticmethod
    def accepts(name: str) -> bool:
        return name.lower().startswith(SCHEME)

    def validate(self) -> None:
        bucket, _ = _parts(self.name)
        if not bucket:
            raise ConfigurationError(
                f"{self.name} names no bucket", "write it as s3://BUCKET/FOLDER/ or s3://BUCKET/FILE"
            )

    def identity(self) -> list[object]:
        return [self.request.file]

    def fetch(self, scratch: Path, report: Report) -> FetchedSource:
        from mlops_cli.data.compression.archives import is_archive

        if self.request.objects is None:
            raise AssertionError("a request with objects in S3 needs a store")
        bucket, key = _parts(self.name)
        objects = _objects(self.request.objects, self.name)
        total, done = sum(each.size for each in objects), 0
        if total > self.request.most_bytes:
            raise MlopsError(
                f"{self.name} is refused: it has {total:,} bytes, more than {self.request.most_bytes:,}",
                "if that is right, allow more: MAX_DOWNLOAD_GB=100 mlops download-data",
            )
        folder = scratch / "objects"
        shutil.rmtree(folder, ignore_errors=True)
        for each in objects:
            path = folder / _relative(each.key, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.request.objects.download(bucket, each.key, path)
            done += each.size
            report("download", done, total, "B")
        origin = {"kind": self.kind, "shown": self.name, "objects": _versions(objects)}
        if [each.key for each in objects] != [key]:
            return FetchedSource(origin, folder, self.name)
        path = folder / _relative(key, key)
        return FetchedSource(origin, path, self.name, is_archive=is_archive(path.name))


def objects_state(origin: Origin, objects: ObjectStore | None) -> State:
    """Return CHANGED if an object is new, gone or has another ETag."""
    if objects is None:
        return State.UNKNOWN
    present = _versions(_objects(objects, origin["shown"]))
    return State.SAME if present == [list(version) for version in origin["objects"]] else State.CHANGED


def _parts(name: str) -> tuple[str, str]:
    bucket, _, key = name[len(SCHEME) :].partition("/")
    return bucket, key


def _versions(objects: list[StoredObject]) -> list[list[object]]:
    return [[each.key, each.size, each.version] for each in objects]


def _objects(store: ObjectStore, name: str) -> list[StoredObject]:
    """Return the object with this name, or else all objects below it. Raise MlopsError if there are none."""
    bucket, key = _parts(name)
    below = key if not key or key.endswith("/") else f"{key}/"
    candidates = list(store.list_objects(bucket, key))
    exact = [each for each in candidates if each.key == key and not key.endswith("/")]
    objects = exact or [each for each in candidates if each.key.startswith(below) and not each.key.endswith("/")]
    if not objects:
        raise MlopsError(f"there is nothing at {name}", f"see what is there: aws s3 ls {SCHEME}{bucket}/")
    return objects


def _relative(key: str, source: str) -> PurePosixPath:
    """Return an object's path below the source. Raise MlopsError for a path that leads out of the folder."""
    text = PurePosixPath(key).name if key == source else key.removeprefix(source).lstrip("/")
    path = PurePosixPath(text)
    if not is_inside(text) or not path.parts:
        raise MlopsError(f"the key {key!r} is not a valid file name", "copy the object to another key")
    return path
