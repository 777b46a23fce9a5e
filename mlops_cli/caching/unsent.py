"""Inputs of a stage on this machine that a job on AWS would lack. Both targets use this module."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mlops_cli.caching.key import third_party
from mlops_cli.caching.package_versions import installed_version, source_locations
from mlops_cli.caching.reads import MISSING
from mlops_cli.caching.sources import Sources
from mlops_cli.core.cache_inputs import FILE
from mlops_cli.core.stages import STAGES
from mlops_cli.files.atomic import read_json, write_atomically
from mlops_cli.project.scripts_dir import DEFAULT

# This file in .mlops/ tells the target aws which files the stages on this machine have read.
RECORD = "unsent.json"
MOST_NAMES = 5
# These are sent only in the scripts' folder and in templates/, where stages may need them.
DATA = (
    "*.csv", "*.csv.gz", "*.tsv", "*.parquet", "*.feather", "*.arrow", "*.npy", "*.npz", "*.h5", "*.zip", "*.tar",
    "*.tar.gz", "*.tgz", "*.sqlite", "*.sqlite3", "*.db", "*.jsonl", "*.jsonl.gz",
)  # fmt: skip
# Caches. Their files are created or downloaded again, on AWS, too.
USER_CACHES = ("~/.cache", "~/Library/Caches")


def unsent_files(
    cache_inputs: Mapping[str, str], root: Path, code: Sequence[Path] = (), scripts_dir: str = DEFAULT
) -> list[str]:
    """Return the files that a stage has read but that a job on AWS would lack: neither scripts, ``code`` nor caches."""
    shared = tuple(f"{Path(os.path.relpath(folder, root)).as_posix()}/" for folder in code)
    available = (f"{scripts_dir}/", *shared, *_user_caches())
    names = [name.removeprefix(FILE) for name in cache_inputs if name.startswith(FILE)]
    unsent = [
        name for name in names if not name.startswith(available) or (name.startswith(shared) and is_data_file(name))
    ]
    return [name for name in unsent if cache_inputs[f"{FILE}{name}"] != MISSING]


def is_data_file(name: str) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in DATA)


def record_unsent(state: Path, stage: str, files: Sequence[str]) -> None:
    """Record the unsent files of a stage's last execution."""
    before = read_json(state / RECORD) or {}
    if before.get(stage, []) != list(files):
        write_atomically(state / RECORD, json.dumps({**before, stage: list(files)}, indent=1))


def describe_unsent(root: Path, state: Path, code: Sequence[Path] = (), scripts_dir: str = DEFAULT) -> list[str]:
    """Return descriptions of all imports and reads of stages that a job on AWS would lack."""
    training = root / scripts_dir
    packages = _packages(training, code)
    described = [
        f"the package {name} is imported from {location}: a job on AWS does not have it; name its folder in "
        f"usecase.toml, [code] path, or publish it and name it in {scripts_dir}/requirements.txt"
        for name, location in packages.items()
    ]
    files = _files(root, state, list(packages.values()), scripts_dir)
    return [*described, *_requirements(training, scripts_dir), *files]


def _packages(training: Path, code: Sequence[Path]) -> dict[str, Path]:
    """Return the imported packages that are installed from a folder and are missing in requirements.txt."""
    imports: dict[str, list[str]] = {}
    sources = Sources(training, imports, code)
    scripts = [training / stage.script for stage in STAGES if stage.script and (training / stage.script).is_file()]
    names = {name for source in sources.of(scripts).values() for name in source.imports}
    required = {_normalized(line) for line in _lines(training)}
    located = {name: source_locations(name) for name in third_party(names, training, imports, code)}
    return {
        name: locations[0]
        for name, locations in located.items()
        if locations and _normalized(installed_version(name).split(" ")[0]) not in required
    }


def _requirements(training: Path, scripts_dir: str) -> Iterator[str]:
    """Yield the requirements that name a path outside of the scripts' folder."""
    for line in _lines(training):
        requirement = re.sub(r"^(-e|--editable)[ =]*", "", line)
        path = (requirement.partition(" @ ")[2] or requirement).removeprefix("file://")
        if path.startswith((".", "/")) and not (training / path).resolve().is_relative_to(training.resolve()):
            yield f"{scripts_dir}/requirements.txt names {path}, which is not uploaded: a job on AWS cannot install it"


def _files(root: Path, state: Path, described: Sequence[Path], scripts_dir: str) -> Iterator[str]:
    """Yield, by stage, the existing files that stages on this machine have read and that are not described yet."""
    for stage, files in (read_json(state / RECORD) or {}).items():
        paths = {str(name): root / str(name) for name in files} if isinstance(files, list) else {}
        names = [
            name
            for name, path in paths.items()
            if path.is_file() and not any(path.resolve().is_relative_to(location) for location in described)
        ]
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            shown = ", ".join(names[:MOST_NAMES]) + more
            yield f"on this machine {stage} has read {shown}: a job on AWS gets only {scripts_dir}/"


def _lines(training: Path) -> list[str]:
    file = training / "requirements.txt"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _normalized(requirement: str) -> str:
    """Return the distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement)[0]).lower()


def _user_caches() -> list[str]:
    """Return the cache folders, as named and resolved. A user without a home folder has none."""
    paths = [os.path.expanduser(folder) for folder in USER_CACHES]  # noqa: PTH111 (pathlib's raises without a home)
    return [os.path.join(name, "") for path in paths for name in (path, os.path.realpath(path))]  # noqa: PTH118
