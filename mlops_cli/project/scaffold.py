"""``mlops init``: write a project that runs at once, completely or not at all, and never over a file."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.hashing import digest_file
from mlops_cli.frameworks import DEFAULT, NAMES
from mlops_cli.packaging import wheel
from mlops_cli.project.settings import NAME

STARTER = Path(__file__).parent / "starter"
REPOSITORY = Path(__file__).parents[2]
# SHARED: files of this repository's root for both kinds of project; COMMENTS: only for the toxic comments. A wheel has
# copies of them in starter/ (see pyproject.toml), the source tree the originals.
SHARED, COMMENTS = (".env.example", ".gitignore", "templates"), ("training",)
MARKER = "training/usecase.toml"  # the file that makes a folder a project
# The project contains its mlops wheel, for the workflow: the name on the package index is not ours.
PINNED = ".github/mlops"
STAGING = ".mlops-init"
CACHES = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints")
MOST_SHOWN = 5
MEANINGS = {
    ".env.example": "every setting, with its default",
    ".github": "a workflow: local on a pull request, aws on main; and the mlops that it installs",
    ".gitignore": "keeps .env and .mlops/ out of git",
    "data.csv": "a sample table, made up",
    "templates": "CloudFormation templates of the aws target",
    "training": "the use case: usecase.toml, scripts, gates",
}


def project_name(name: str, folder: Path, minimal: bool) -> str:
    """Return the given name, else the folder's. Raise ConfigurationError for an invalid name of an endpoint."""
    chosen = name or folder.resolve().name
    if re.fullmatch(NAME, chosen):
        return chosen
    proposed = re.sub(r"[^A-Za-z0-9]+", "-", chosen)[:41].strip("-") or "my-model"
    raise ConfigurationError(
        f"{chosen!r} cannot be a use case's name: expected up to 41 letters, digits and -.",
        f"Name it: mlops init {shlex.quote(str(folder))}{' --minimal' if minimal else ''} --name {proposed}",
    )


def starters() -> list[str]:
    """Return the frameworks that a new minimal project can be of."""
    return [name for name in NAMES if name == DEFAULT.name or (STARTER / name).is_dir()]


def project_files(name: str, minimal: bool, framework: str = "") -> dict[str, bytes]:
    """Return a new project's files by path; the use case is called ``name``. A framework has its own scripts.

    Raise ConfigurationError for a framework without a starter.
    """
    if framework and framework not in starters():
        raise ConfigurationError(
            f"There is no starter for {framework!r}; there are starters for {', '.join(starters())}.",
            "Begin with one of them, then write [model] framework in training/usecase.toml.",
        )
    files = {path: source.read_bytes() for path, source in _sources(minimal, framework)}
    named = re.sub(r'^name = ".*"$', f'name = "{name}"', files[MARKER].decode(), count=1, flags=re.M)
    return {**dict(sorted(files.items())), **_pinned_mlops(), MARKER: named.encode()}


def _pinned_mlops() -> dict[str, bytes]:
    """Return the running mlops as a wheel, and the requirement line that pins it."""
    with tempfile.TemporaryDirectory() as folder:
        path = wheel.build(Path(folder))
        line = f"./{PINNED}/{path.name} --hash=sha256:{digest_file(path)}\n"
        return {f"{PINNED}/{path.name}": path.read_bytes(), f"{PINNED}/wheel.txt": line.encode()}


def _sources(minimal: bool, framework: str) -> Iterator[tuple[str, Path]]:
    """Yield the files by path; a later one replaces an earlier one of the same path."""
    layers = [STARTER / "shared", STARTER / ("minimal" if minimal else "comments")]
    for layer in [*layers, STARTER / framework] if framework else layers:
        yield from _below(layer, layer)
    if not (STARTER / "comments").is_dir():
        for entry in SHARED if minimal else SHARED + COMMENTS:
            yield from _below(REPOSITORY / entry, REPOSITORY)


def _below(path: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield a file itself, or all files in a folder except the caches of tools."""
    if path.is_file():
        yield path.relative_to(root).as_posix(), path
    for child in sorted(path.iterdir()) if path.is_dir() and path.name not in CACHES else ():
        yield from _below(child, root)


def plan_project(folder: Path, files: Mapping[str, bytes]) -> Plan:
    """Return the files to write. Raise ConfigurationError if the folder contains anything else."""
    missing = {PurePosixPath(path).parts[0] for path in _missing(folder, files)}
    entries = sorted({PurePosixPath(path).parts[0] for path in files})
    return Plan(
        tuple(Change(Action.ADD if entry in missing else Action.KEEP, entry, MEANINGS[entry]) for entry in entries)
    )


def write_project(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the missing files. Each appears complete; the one that makes the folder a project is last.

    After an error nothing is left; after a kill a repetition finishes it. Raise ConfigurationError if the folder
    contains anything else.
    """
    missing = sorted(_missing(folder, files), key=lambda path: path == MARKER)
    new_folders = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    placed: list[Path] = []
    try:
        _stage(folder / STAGING, {path: files[path] for path in missing})
        for path in missing:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            placed.append((folder / STAGING / path).rename(folder / path))
    except BaseException:
        _undo(placed, new_folders)
        raise
    finally:
        shutil.rmtree(folder / STAGING, ignore_errors=True)


def _stage(staging: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    for path, content in files.items():
        (staging / path).parent.mkdir(parents=True, exist_ok=True)
        (staging / path).write_bytes(content)


def _undo(placed: list[Path], new_folders: list[Path]) -> None:
    for path in placed:
        path.unlink()
    for folder in new_folders[:1]:
        shutil.rmtree(folder, ignore_errors=True)
    for parent in new_folders[1:]:
        parent.rmdir()


def _missing(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Return the files that are not there yet. Raise ConfigurationError if another file is in their way."""
    if not folder.exists():
        return list(files)
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder.", "Name another one: mlops init DIR")
    missing = [path for path, content in files.items() if not _is_there(folder / path, content)]
    ours = {PurePosixPath(path).parts[0] for path in files} | {".git", STAGING}
    # A link among them would lead out of the folder.
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in ours or path.is_symlink())
    in_the_way = [path for path in missing if (folder / path).exists()] + (strangers if missing else [])
    if in_the_way:
        shown = ", ".join(in_the_way[:MOST_SHOWN]) + (", ..." if len(in_the_way) > MOST_SHOWN else "")
        raise ConfigurationError(
            f"{folder} already contains other files: {shown}.", "Name a new folder: mlops init DIR"
        )
    return missing


def _is_there(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
