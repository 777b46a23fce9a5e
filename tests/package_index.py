"""A package index in a folder, with a stranger's packages of any name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

WHEEL = "Wheel-Version: 1.0\nGenerator: somebody\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def taken_over(folder: Path, packages: Mapping[str, str]) -> str:
    """Return the address of a package index with these versions of a stranger."""
    for name, version in packages.items():
        module, page = name.replace("-", "_"), folder / name
        file = f"{module}-{version}-py3-none-any.whl"
        page.mkdir(parents=True)
        with zipfile.ZipFile(page / file, "w") as archive:
            archive.writestr(f"{module}/__init__.py", "raise SystemExit('taken over')\n")
            description = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{module}-{version}.dist-info/METADATA", description)
            archive.writestr(f"{module}-{version}.dist-info/WHEEL", WHEEL)
            archive.writestr(f"{module}-{version}.dist-info/RECORD", "")
        (page / "index.html").write_text(f'<!DOCTYPE html><a href="{file}">{file}</a>')
    return folder.as_uri()
