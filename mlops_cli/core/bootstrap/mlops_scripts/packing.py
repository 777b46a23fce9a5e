"""The files of a model package: code/ with the handlers, and a scikit-learn model that is the same byte for byte."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

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
