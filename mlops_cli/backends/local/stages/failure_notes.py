"""Notes on the failure of a script or a package: how this project explains the last lines of its output."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mlops_cli.project.paths import Project

MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '(\w+)'")
UNTRUSTED_TYPES = re.compile(r"Untrusted types found in the file: (\[.*?\])")


def script_notes(output: str, project: Project) -> str:
    """Return a line for each module that a script or a gate did not find."""
    return _lines(_missing_in_script(name, project) for name in _missing_modules(output))


def package_notes(output: str, project: Project) -> str:
    """Return a line for each module and type that the handlers of a model package lack."""
    notes = [_missing_in_package(name, project) for name in _missing_modules(output)]
    for types in UNTRUSTED_TYPES.findall(output):
        notes.append(
            "skops loads only types that it knows, or that are named. If you trust the libraries of these types, name "
            f"them in inference.py: load_skops(..., trusted={types})."
        )
    return _lines(notes)


def _lines(notes: Iterator[str] | list[str]) -> str:
    return "".join(f"\n{note}" for note in notes)


def _missing_modules(output: str) -> list[str]:
    return list(dict.fromkeys(MISSING_MODULE.findall(output)))


def _missing_in_script(name: str, project: Project) -> str:
    folder = next((folder for folder in _code_folders(project) if _has_module(folder, name)), None)
    if folder is None:
        return _to_install(name, project)
    if folder == project.root:
        return f"{name} is beside {project.scripts_dir}/: move it there, or into a folder that [code] path names."
    path = os.path.relpath(folder, project.root)
    return f'{name} is in {path}/: name it in usecase.toml, under [code]: path = ["{path}"].'


def _missing_in_package(name: str, project: Project) -> str:
    folder = next((folder for folder in (project.training, *_code_folders(project)) if _has_module(folder, name)), None)
    if folder is None:
        return _to_install(name, project)
    argument = name if (folder / name).is_dir() else f"{name}.py"
    return f'The model package has no {argument}: add it in train.py with pack_code("{argument}").'


def _to_install(name: str, project: Project) -> str:
    requirements = f"{project.scripts_dir}/requirements.txt"
    return f"Install the package of the module {name} for {sys.executable}, and add it to {requirements}."


def _code_folders(project: Project) -> list[Path]:
    """Return the project's folder and the folders that [code] path can name, in the project or its repository."""
    above = [project.root, *project.root.parents]
    in_repository = next((above[: number + 1] for number, folder in enumerate(above) if (folder / ".git").exists()), [])
    folders = [
        path
        for parent in in_repository or [project.root]
        for path in sorted(parent.iterdir())
        if path.is_dir() and not path.name.startswith(".") and path not in (project.training, *above)
    ]
    return [project.root, *folders]


def _has_module(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
