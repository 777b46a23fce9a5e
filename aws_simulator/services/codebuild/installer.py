"""The build image's pip. It links what it has installed before from the same wheels and requirements.

A build always has a new environment, and the first installation of anything is done by the real pip. This file is
copied into the image as ``pip/__main__.py`` and imports only the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[1]
LAYERS = PACKAGES.with_name("layers")


def real(packages: Path) -> Path:
    """Return the folder with the real pip, beside the image's packages."""
    return packages.with_name("pip")


def inputs(arguments: list[str]) -> Iterator[str]:
    """Return every argument, and the content of the files that they name. Raise ValueError for other inputs."""
    for argument in arguments:
        path = Path(argument)
        yield argument if not path.is_file() else path.name
        if path.suffix == ".whl":
            yield hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.is_file():
            yield from requirements(path)
        elif path.exists():
            raise ValueError(f"{argument} is a folder")


def requirements(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        option, _, name = line.partition(" ")
        if option in ("-r", "-c"):
            yield option
            yield from requirements(file.parent / name.strip())
        elif "/" in line or line.startswith("-"):
            raise ValueError(f"{line} may be anything")
        else:
            yield line


def install_folders() -> list[Path]:
    return [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts"))]


def entries() -> list[list[str]]:
    """Return the installed packages, by folder."""
    return [
        sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") for folder in install_folders()
    ]


def pip(arguments: list[str]) -> int:
    """Run the real pip by its path: with -m, Python would use a folder ``pip`` in the working directory."""
    environment = {**os.environ, "PYTHONPATH": str(real(PACKAGES))}
    return subprocess.run([sys.executable, str(real(PACKAGES) / "pip"), *arguments], env=environment).returncode


def install(arguments: list[str]) -> int:
    before = entries()
    try:
        key = hashlib.sha256(json.dumps([list(inputs(arguments)), before]).encode()).hexdigest()
    except ValueError:
        return pip(arguments)
    layer = LAYERS / key
    if layer.is_dir():
        lay(layer)
        return 0
    code = pip(arguments)
    if code == 0 and all(set(old) <= set(new) for old, new in zip(before, entries(), strict=True)):
        keep(layer, before)
    return code


def keep(layer: Path, before: list[list[str]]) -> None:
    """Keep the additional packages. Another build at the same time may have kept them first."""
    LAYERS.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=LAYERS))
    for folder, old in zip(install_folders(), before, strict=True):
        (partial / folder.name).mkdir()
        for name in {path.name for path in folder.iterdir()} - {*old, "__pycache__"}:
            copy(folder / name, partial / folder.name / name)
    (partial / "prefix").write_text(sys.prefix)
    try:
        partial.rename(layer)
    except OSError:
        shutil.rmtree(partial)


def lay(layer: Path) -> None:
    """Link a layer into this environment."""
    prefix = (layer / "prefix").read_text()
    libraries, commands = install_folders()
    for path in (layer / libraries.name).iterdir():
        copy(path, libraries / path.name)
    for path in (layer / commands.name).iterdir():
        (commands / path.name).write_text(path.read_text().replace(prefix, sys.prefix))
        (commands / path.name).chmod(0o755)


def copy(source: Path, target: Path) -> None:
    """Copy files by hard links. This is safe, because pip replaces files and never writes into them."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


if __name__ == "__main__":
    sys.exit(install(sys.argv[1:]) if sys.argv[1:3] == ["install", "--quiet"] else pip(sys.argv[1:]))
