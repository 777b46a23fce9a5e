"""The metadata of a dataset: dataset.json beside dataset.csv."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file

CSV_NAME, JSON_NAME, PARTIAL = "dataset.csv", "dataset.json", "partial"


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset's metadata. ``label_rates`` are shares of rows (0 to 1), ``bytes`` is the size of ``path``."""

    source: str
    sha256: str
    rows: int
    label_rates: dict[str, float]
    bytes: int
    synthetic: bool
    fetched_at: str
    ignored_columns: list[str]
    path: Path
    remarks: list[str] = field(default_factory=list)


def load(folder: Path) -> DatasetInfo | None:
    """Return the dataset in ``folder``, None if there is none. Raise MlopsError if it was modified."""
    document = read_dataset_info(folder)
    if document is None or not (folder / CSV_NAME).exists():
        return None
    dataset = dataset_info_from(folder, document)
    if not is_same_file(dataset.path, document):
        raise changed_since(dataset.path)
    return dataset


def changed_since(path: Path) -> MlopsError:
    return MlopsError(f"{path} was changed since it was downloaded", "repeat mlops download-data")


def write_dataset_info(
    dataset: DatasetInfo, request: str, mtime_ns: int, path: Path, origins: Sequence[dict[str, Any]] = ()
) -> None:
    """Write the metadata with the request's key, the data's mtime and the sources' states; sync the file."""
    document = asdict(dataset) | {"request": request, "mtime_ns": mtime_ns, "origins": list(origins)}
    del document["path"]
    with path.open("w", encoding="utf-8") as out:
        out.write(json.dumps(document, indent=2) + "\n")
        out.flush()
        os.fsync(out.fileno())


def read_dataset_info(folder: Path) -> dict[str, Any] | None:
    path = folder / JSON_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise _corrupt(path) from None
    if not isinstance(document, dict):
        raise _corrupt(path)
    return document


def dataset_info_from(folder: Path, document: dict[str, Any]) -> DatasetInfo:
    names = {each.name for each in fields(DatasetInfo)} - {"path"}
    required = {each.name for each in fields(DatasetInfo) if each.default_factory is MISSING} - {"path"}
    if not required <= document.keys() or not isinstance(document["label_rates"], dict):
        raise _corrupt(folder / JSON_NAME)
    return DatasetInfo(**{name: document[name] for name in names & document.keys()}, path=folder / CSV_NAME)


def _corrupt(path: Path) -> MlopsError:
    return MlopsError(f"{path} is damaged", "repeat mlops download-data: it writes the dataset again")


def is_same_file(path: Path, document: dict[str, Any]) -> bool:
    """True if the file is unmodified: by size and time, else (a copied project) by content."""
    if not path.exists() or path.stat().st_size != document.get("bytes"):
        return False
    if path.stat().st_mtime_ns == document.get("mtime_ns"):
        return True
    return bool(digest_file(path) == document.get("sha256"))
