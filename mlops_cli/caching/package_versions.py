"""The version of an imported package; if it is installed from a folder, its files."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mlops_cli.files.json_text import parse_json
from mlops_cli.project.git.ignore_rules import walk_files

SITES = ("site-packages", "dist-packages")


def package_inputs(name: str, digest: Callable[[Path], str]) -> dict[str, str]:
    """Return the version of ``import name``, and every file of it outside of site-packages."""
    cache_inputs = {f"package {name}": installed_version(name)}
    for location in source_locations(name):
        if location.is_file():
            cache_inputs[f"package {name}: {location.name}"] = digest(location)
            continue
        for file in walk_files(location, gitignore=False):
            cache_inputs[f"package {name}: {location.name}/{file}"] = digest(location / file)
    info = _info(name)
    # Installed from a folder, an archive or a repository, where another commit may have the same version.
    if info and _origin(info) and (info / "RECORD").is_file():
        cache_inputs[f"package {name}: as installed"] = digest(info / "RECORD")
    return cache_inputs


def source_files(name: str) -> Iterator[Path]:
    """Yield the modules of a package outside of site-packages."""
    for location in source_locations(name):
        yield from [location] if location.is_file() else sorted(location.rglob("*.py"))


@cache
def source_locations(name: str) -> list[Path]:
    """Return the modules and folders outside of site-packages from which ``import name`` loads, by .pth files."""
    mapped = [location for finder in _editable_finders() for location in _mapped(finder, name)]
    listed = [location for folder in _listed_folders() for location in (folder / f"{name}.py", folder / name)]
    linked = [site / name for site in _site_folders() if (site / name).is_symlink()]
    locations = dict.fromkeys(location.resolve() for location in (*mapped, *listed, *linked) if location.exists())
    info = _info(name)
    if info:  # its version is enough, even if it is linked
        return [location for location in locations if not _is_in_site(location)] or _editable_root(info)
    return list(locations)


def _is_in_site(location: Path) -> bool:
    return any(folder.name in SITES for folder in location.parents)


def _editable_finders() -> list[object]:
    """Return setuptools' modules that make a package importable from its source folder."""
    return [module for name, module in list(sys.modules.items()) if name.startswith("__editable__")]


def _mapped(finder: object, name: str) -> Iterator[Path]:
    for module, location in dict(getattr(finder, "MAPPING", {})).items():
        if module == name or module.startswith(f"{name}."):
            yield from (path for path in (Path(location), Path(f"{location}.py")) if path.exists())
    for module, locations in dict(getattr(finder, "NAMESPACES", {})).items():
        if module == name or module.startswith(f"{name}."):
            yield from (Path(location) for location in locations)


@cache
def _listed_folders() -> list[Path]:
    """Return the folders that .pth files add to Python's path."""
    folders = []
    for site in _site_folders():
        for file in sorted(site.glob("*.pth")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            folders += [site / line.strip() for line in lines if line.strip() and not line.startswith(("import", "#"))]
    return [folder for folder in folders if folder.is_dir() and folder.name not in SITES]


@cache
def _site_folders() -> list[Path]:
    return [Path(folder) for folder in sys.path if Path(folder).name in SITES and Path(folder).is_dir()]


def _origin(info: Path) -> dict[str, Any]:
    """Return pip's note (direct_url.json) about a distribution that was not installed from an index."""
    file = info / "direct_url.json"
    document = parse_json(file.read_text(encoding="utf-8")) if file.is_file() else None
    return document if isinstance(document, dict) else {}


def _editable_root(info: Path) -> list[Path]:
    """Return the folder of a distribution with an unknown form of editable installation."""
    from urllib.parse import unquote, urlsplit

    origin = _origin(info)
    url = urlsplit(origin.get("url", ""))
    is_editable = (origin.get("dir_info") or {}).get("editable")
    folder = Path(unquote(url.path))
    return [folder] if is_editable and url.scheme == "file" and folder.is_dir() else []


@cache
def installed_version(name: str) -> str:
    """Return "distribution version" of ``import name``, or "not installed"."""
    info = _info(name)
    if info is None:
        return "not installed"
    distribution, _, version = info.name.removesuffix(".dist-info").partition("-")
    return f"{distribution} {version}"


@cache
def _info(name: str) -> Path | None:
    """Return the .dist-info folder of the distribution that provides ``import name``.

    Look at folder names first, then at top_level.txt, and last at lists of files: importlib.metadata would parse the
    metadata of every package, and that takes longer than the rest of an unchanged run.
    """
    infos = _distributions()
    if name.lower() in infos:
        return infos[name.lower()]
    return _by_top_level().get(name) or _by_record().get(name)


@cache
def _distributions() -> dict[str, Path]:
    """Return the .dist-info folders of this interpreter, by package name."""
    folders = [Path(folder) for folder in reversed(sys.path) if Path(folder).is_dir()]
    return {info.name.partition("-")[0].lower(): info for folder in folders for info in folder.glob("*.dist-info")}


@cache
def _by_top_level() -> dict[str, Path]:
    """Return the .dist-info folders by the names in top_level.txt. The first one counts."""
    return {name: info for info in reversed(_distributions().values()) for name in _top_level(info)}


def _top_level(info: Path) -> list[str]:
    file = info / "top_level.txt"
    return file.read_text().split() if file.is_file() else []


@cache
def _by_record() -> dict[str, Path]:
    """Return the .dist-info folders by the top-level folders of their files. Read them once for all names."""
    return {name: info for info in reversed(_distributions().values()) for name in _recorded(info)}


def _recorded(info: Path) -> set[str]:
    """Return the top-level folders of the files that a package has installed."""
    file = info / "RECORD"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {re.split(r"[/,]", line, maxsplit=1)[0].removesuffix(".py") for line in lines}
