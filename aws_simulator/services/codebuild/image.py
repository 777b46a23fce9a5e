"""An image, simulated by a virtual environment with the packages of this machine and without an index.

The packages are visible through links in a folder named site-packages, except this project's own package: a build must
install the CLI that it gets. If an image's content is known, only its packages and their dependencies are visible. A
package in the lists of --locks has the version of the list, whatever is installed here: pip sees exactly the requested
version.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import site
import sys
import threading
import venv
from collections.abc import Iterable
from pathlib import Path

import pip
from packaging.utils import canonicalize_name

from aws_simulator.packages import applicable, entries, with_dependencies
from aws_simulator.services.codebuild import aws_command, installer

MAKING = threading.Lock()
BUILD = "build"
"""The name of the build image among those whose content is known (--images)."""
OWN = ("mlops_cli", "mlops-cli", "_editable", "__editable__")


def packages(images: Path, locks: Path | None, content: Iterable[str] | None = None) -> Path:
    """Return a folder of links to every installed package except our own, with an installer around pip. Create it once.

    ``content``: the requirements that the image meets, if they are known; no other package is linked. A requirement for
    one version has that version there, as do the requirements in ``locks``.
    """
    known_content = None if content is None else sorted(content)
    name = hashlib.sha256(json.dumps([known_content, str(locks)]).encode()).hexdigest()[:16]
    folder = images / name / "site-packages"
    with MAKING:
        if not folder.exists():
            partial = folder.with_name(f"{folder.name}.partial")
            partial.mkdir(parents=True)
            versions = {**pinned(known_content or ()), **locked_versions(locks)}
            known_entries = None if known_content is None else entries(with_dependencies([*known_content, *versions]))
            for entry in Path(site.getsitepackages()[0]).iterdir():
                is_other = known_entries is not None and entry.name not in known_entries
                if is_other or entry.name.startswith((*OWN, "pip-")) or entry.name == "pip" or entry.suffix == ".pth":
                    continue
                link_package(entry, partial, versions)
            (partial / "pip").mkdir()
            shutil.copy(installer.__file__, partial / "pip" / "__main__.py")
            installer.real(folder).mkdir()
            (installer.real(folder) / "pip").symlink_to(Path(pip.__file__).parent)
            partial.rename(folder)
    return folder


def locked_versions(locks: Path | None) -> dict[str, str]:
    """Return the version of every package that a list names for this Python and platform."""
    paths = sorted(locks.glob("*.txt")) if locks else ()
    return pinned(line.rstrip("\\ ") for path in paths for line in path.read_text().splitlines() if "==" in line)


def pinned(requirements: Iterable[str]) -> dict[str, str]:
    """Return the versions of the requirements that demand one version on this Python and platform."""
    versions: dict[str, str] = {}
    for requirement in (each for text in requirements for each in applicable(text)):
        pins = [each for each in requirement.specifier if each.operator == "==" and "*" not in each.version]
        if pins:
            versions[canonicalize_name(requirement.name)] = pins[0].version
    return versions


def link_package(entry: Path, folder: Path, versions: dict[str, str]) -> None:
    """Link an installed package. The metadata of a package in a list has the list's version.

    The package's folder contains links and is no link itself. Otherwise mlops would treat it as installed from a source
    folder.
    """
    name, _, _ = entry.stem.partition("-")
    version = versions.get(canonicalize_name(name)) if entry.suffix == ".dist-info" else None
    if entry.is_file():
        (folder / entry.name).symlink_to(entry)
        return
    if version is None or f"{name}-{version}" == entry.stem:
        (folder / entry.name).mkdir()
        for inner in entry.iterdir():
            (folder / entry.name / inner.name).symlink_to(inner)
        return
    described = folder / f"{name}-{version}.dist-info"
    described.mkdir()
    for file in entry.iterdir():
        if file.name != "METADATA":
            (described / file.name).symlink_to(file)
    lines = (entry / "METADATA").read_text(encoding="utf-8").split("\n")
    (described / "METADATA").write_text(
        "\n".join(f"Version: {version}" if line.startswith("Version: ") else line for line in lines), encoding="utf-8"
    )


def make(folder: Path, linked: Path) -> Path:
    """Create a new environment. Return its folder of commands."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    library = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (library / "image.pth").write_text(f"{linked}\n")
    command = folder / "bin" / "aws"
    command.write_text(f"#!{folder / 'bin' / 'python'}\n{Path(aws_command.__file__).read_text()}")
    command.chmod(0o755)
    return folder / "bin"
