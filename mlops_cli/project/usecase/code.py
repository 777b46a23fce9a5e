"""Read [code] and [files]: the scripts' folder, shared folders, and the files that count for stages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlops_cli.core.stages import STAGES
from mlops_cli.project.scripts_dir import FILE, KEY, folder_problem, form_problem
from mlops_cli.project.usecase.problems import Problems


def read_scripts_dir(table: dict[str, Any], root: Path, path: Path, problems: Problems) -> str:
    """Return the scripts' folder that a usecase.toml in the project's root names; "" if it names none."""
    if KEY not in table:
        return ""
    value = table[KEY]
    if problem := form_problem(value) or folder_problem(root, value):
        problems.add(f"code.{KEY}", problem)
        return ""
    folder = value.removesuffix("/")
    if path.parent == root and (root / folder / FILE).is_file():
        problems.add(f"code.{KEY}", f"names a folder with a second {FILE}, {folder}/{FILE}; remove one of the two")
    return str(folder)


def read_code_folders(table: dict[str, Any], root: Path, scripts: Path, problems: Problems) -> tuple[Path, ...]:
    """Return the folders outside of the scripts' folder with packages for scripts."""
    names = table.get("path", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        problems.add("code.path", 'must be a list of folders, such as ["src"]')
        return ()
    folders = tuple(Path(os.path.normpath(root / name)) for name in names)
    for name, folder in zip(names, folders, strict=True):
        if Path(name).is_absolute() or not folder.is_dir():
            problems.add(
                f"code.path.{name}", f"has {name!r}, expected a folder, relative to the project's", "code.path"
            )
        elif folder == root or folder in root.parents:
            reason = f"has {name!r}, which contains the whole project: every file in it would count for every script"
            problems.add(f"code.path.{name}", f"{reason}; move its modules into a folder, such as src/", "code.path")
        elif folder.is_relative_to(scripts):
            reason = f"has {name!r}, which scripts import from anyway; expected a folder beside {scripts.name}/"
            problems.add(f"code.path.{name}", reason, "code.path")
    return folders


def read_files(table: dict[str, Any], problems: Problems) -> dict[str, tuple[str, ...]]:
    """Return file patterns, each with the stages in whose cache keys the files count; () for no stage."""
    stage_names = [stage.name for stage in STAGES if stage.script]
    for pattern, stages in table.items():
        if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
            problems.add(f"files.{pattern!r}", 'must be a list of stages, such as ["train"]')
            continue
        for stage in stages:
            if stage not in stage_names:
                problems.add_unknown(f"files.{pattern!r}: {stage!r}", stage, stage_names)
    return {pattern: tuple(stages) for pattern, stages in table.items() if isinstance(stages, list)}
