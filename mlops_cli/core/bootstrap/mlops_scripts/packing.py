"""The files of a model package: code/ with the handlers, and a scikit-learn model that is the same byte for byte."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).parent


def pack_code(*names: str) -> Path:
    """Copy inference.py, requirements.txt and the named files or folders into the model's code/. Return that folder.

    A name is looked for beside the script, then on Python's path. mlops_scripts is copied, too, if a file imports it.
    """
    source, folder = Path(sys.argv[0]).resolve().parent, Path(os.environ["SM_MODEL_DIR"], "code")
    folder.mkdir(parents=True, exist_ok=True)
    optional = [name for name in ("inference.py", "requirements.txt") if (source / name).is_file()]
    for name in dict.fromkeys([*optional, *names]):
        path = next((base / name for base in (source, *map(Path, sys.path)) if (base / name).exists()), source / name)
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    if any(LIBRARY.name in path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("*.py")):
        shutil.copytree(LIBRARY, folder / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def save_skops(model: Any, name: str = "model.skops") -> Path:
    """Write a scikit-learn model to SM_MODEL_DIR as data, not as a pickle. Equal models give equal files.

    skops records times and memory addresses, which differ between processes; this function removes them.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as dumped:
        files = {entry: dumped.read(entry) for entry in dumped.namelist()}
    schema = files.pop("schema.json").decode()
    address = re.compile(r'(?<="__id__": )\d+|\d+(?=\.npy)')
    numbers: dict[str, str] = {}
    schema = address.sub(lambda match: numbers.setdefault(match[0], str(len(numbers))), schema)
    path = Path(os.environ["SM_MODEL_DIR"], name)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
        renamed = {address.sub(lambda match: numbers[match[0]], entry): content for entry, content in files.items()}
        for entry, content in sorted(renamed.items()):
            archive.writestr(zipfile.ZipInfo(entry), content)
    return path
