"""The metadata of a dataset: dataset.json beside dataset.csv, or beside files/ for a dataset without a schema."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file, digest_folder, stat_digest
from mlops_cli.files.json_text import parse_json

CSV_NAME, JSON_NAME, FILES, PARTIAL = "dataset.csv", "dataset.json", "files", "partial"


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset's metadata. ``label_rates``: shares of rows (0 to 1). ``bytes``: the size of ``path``.

    ``files``: the number of files of a dataset without a schema; 0 for a table.
    """

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
    files: int = 0
    columns: dict[str, str] = field(default_factory=dict)  # the columns against which the rows were checked

    @property
    def folder(self) -> Path:
        """The folder that a stage reads."""
        return self.path if self.files else self.path.parent

    @property
    def record(self) -> dict[str, Any]:
        """The run's record of its dataset. The dataset itself may be replaced later."""
        return record_of(asdict(self))

    @property
    def amount(self) -> str:
        return describe_amount(asdict(self))


def record_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the metadata that a run stores."""
    names = ("source", "rows", "synthetic", *(["files"] if document.get("files") else []))
    return {name: document[name] for name in names}


def describe_amount(document: Mapping[str, Any]) -> str:
    """Return the amount of data as text."""
    files = document.get("files") or 0
    return f"{files:,} file{'s' * (files > 1)}" if files else f"{document.get('rows') or 0:,} rows"


def load(folder: Path) -> DatasetInfo | None:
    """Return the dataset in ``folder``; None if there is none. Raise MlopsError if it was modified."""
    document = read_dataset_info(folder)
    if document is None:
        return None
    dataset = dataset_info_from(folder, document)
    if not dataset.path.exists():
        return None
    if not is_same_file(dataset.path, document):
        raise changed_since(dataset.path)
    return dataset


def changed_columns(folder: Path, columns: Mapping[str, str]) -> str:
    """Return, in words, how the columns differ from those against which the table in ``folder`` was checked."""
    known = (read_dataset_info(folder) or {}).get("columns") or {}
    if not (known and columns):
        return ""
    new, gone = (", ".join(name for name in a if name not in b) for a, b in ((columns, known), (known, columns)))
    other = ", ".join(name for name in columns if name in known and known[name] != columns[name])
    parts = {"new": new, "gone": gone, "of another type": other}
    return "; ".join(f"{names}: {change}" for change, names in parts.items() if names)


def changed_since(path: Path) -> MlopsError:
    return MlopsError(f"{path} was changed since it was downloaded", "repeat mlops download-data")


def write_dataset_info(
    dataset: DatasetInfo, request: str, look: str, path: Path, origins: Sequence[dict[str, Any]] = ()
) -> None:
    """Write the metadata with the request's key, the data's times and the sources' states. Sync the file."""
    document = asdict(dataset) | {"request": request, "look": look, "origins": list(origins)}
    del document["path"]
    with path.open("w", encoding="utf-8") as out:
        out.write(json.dumps(document, indent=2) + "\n")
        out.flush()
        os.fsync(out.fileno())


def read_dataset_info(folder: Path) -> dict[str, Any] | None:
    path = folder / JSON_NAME
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
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
    path = folder / (FILES if document.get("files") else CSV_NAME)
    return DatasetInfo(**{name: document[name] for name in names & document.keys()}, path=path)


def _corrupt(path: Path) -> MlopsError:
    return MlopsError(f"{path} is damaged", "repeat mlops download-data: it writes the dataset again")


def is_same_file(path: Path, document: dict[str, Any]) -> bool:
    """True if the file or folder is unmodified: by sizes and times, or in a copied project by content."""
    if look_of(path) == document.get("look"):
        return True
    if path.is_dir():
        return digest_folder(path) == document.get("sha256")
    return path.is_file() and digest_file(path) == document.get("sha256")


def look_of(path: Path) -> str:
    """Return the sizes and times of a file, or of all files in a folder."""
    if path.is_dir():
        return stat_digest(path)
    return f"{path.stat().st_size}:{path.stat().st_mtime_ns}" if path.is_file() else ""
