"""The packages installed on this machine: their dependencies and their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def no_index(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the options that keep pip from the public index. A user can name another index on this machine."""
    return {} if "PIP_INDEX_URL" in variables else {"PIP_NO_INDEX": "1"}


def requirements_in(file: Path) -> list[str]:
    """Return the requirements in a pip list; none if the file does not exist."""
    return requirements_of(file.read_bytes()) if file.is_file() else []


def requirements_of(content: bytes) -> list[str]:
    """Return the requirements in the text of a pip list, without its options, comments and hashes."""
    text = content.decode("utf-8", "replace").replace("\\\n", " ")
    lines = (line.partition(" #")[0].partition(" --")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def is_installed(requirement: str) -> bool:
    """Return True if a package of this machine meets the requirement, or its marker excludes this machine."""
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement:
        return False
    if parsed.marker is not None and not parsed.marker.evaluate():
        return True
    try:
        version = metadata.version(parsed.name)
    except metadata.PackageNotFoundError:
        return False
    return parsed.specifier.contains(version, prereleases=True)


def with_dependencies(requirements: Iterable[str]) -> set[str]:
    """Return the names of the installed packages that the requirements name, and of all their dependencies."""
    waiting = [requirement for text in requirements for requirement in applicable(text, "")]
    visited: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in visited:
                visited.add((name, extra))
                waiting += _dependencies(name, extra)
    return {name for name, _ in visited}


def _dependencies(name: str, extra: str) -> Iterator[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        yield from applicable(line, extra)


def applicable(text: str, extra: str = "") -> Iterator[Requirement]:
    """Yield the requirement if its marker is true on this machine."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
        yield requirement


def entries(names: set[str]) -> set[str]:
    """Return the names of folders and files that the packages have installed into site-packages."""
    listed = (file for each in metadata.distributions() if _is_named(each, names) for file in each.files or ())
    return {PurePosixPath(file).parts[0] for file in listed} - {"..", "__pycache__"}


def _is_named(distribution: metadata.Distribution, names: set[str]) -> bool:
    return canonicalize_name(distribution.metadata["Name"] or "") in names
