"""Put changed handlers into a model package in place of those that a training has copied into it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.caching.key import packed_modules
from mlops_cli.caching.reads import Reads
from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.core.stages import Stage
from mlops_cli.files.atomic import remove_tree
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.model_archive import pack, unpack
from mlops_cli.project.paths import Project

PACKAGE = "model.tar.gz"
# One machine installs nothing from it: a training only copies it into the package.
REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class ChangedFile:
    """A file that replaces one of the package's ``code/``: ``name`` below it, and both digests."""

    path: Path
    name: Path
    before: str
    after: str


def changed_files(
    names: set[str],
    before: Mapping[str, str],
    after: Mapping[str, str],
    stage: Stage,
    project: Project,
    reads: Reads,
    log: Path,
) -> list[ChangedFile]:
    """Return the files behind the cache inputs that have changed; none if the training itself depends on one.

    That is every input but the modules that only the packed handlers import, and their requirements. A training whose
    reads are in ``log`` may also have run a file as a program.
    """
    modules = packed_modules(project.training / stage.script, stage.packs, project.training, reads.code, project.root)
    paths = {**modules, f"{project.scripts_dir}/{REQUIREMENTS}": project.training / REQUIREMENTS}
    programs = reads.programs(log)
    if not all(name in paths and name in before and name in after for name in names):
        return []
    if any(paths[name].as_posix() in programs for name in names):
        return []
    folders = (project.training, *reads.code)
    return [ChangedFile(paths[name], _below(paths[name], folders), before[name], after[name]) for name in names]


def _below(path: Path, folders: Sequence[Path]) -> Path:
    return next(path.relative_to(folder) for folder in folders if path.is_relative_to(folder))


def repack(trained: Path, draft: Path, files: list[ChangedFile]) -> str:
    """Copy a training's output into ``draft``, with a package of the changed files; return the package's digest.

    Return nothing unless the package has exactly the files that the training has copied.
    """
    content = draft / ".content"
    unpack(trained / PACKAGE, content)
    code = content / "code"
    had_library = _uses_library(code)
    for file in files:
        target = code / file.name
        if not target.is_file() or digest_file(target) != file.before:
            return ""
        shutil.copyfile(file.path, target)
        if digest_file(target) != file.after:
            return ""
    if _uses_library(code) != had_library:  # the training would have packed it, or not
        return ""
    digest = pack(content, draft / PACKAGE)
    remove_tree(content)
    shutil.copytree(trained, draft, ignore=shutil.ignore_patterns(PACKAGE, ".trial*"), dirs_exist_ok=True)
    return digest


def _uses_library(code: Path) -> bool:
    own = (path for path in code.rglob("*.py") if path.relative_to(code).parts[0] != LIBRARY.name)
    return any(LIBRARY.name in path.read_text(encoding="utf-8", errors="replace") for path in own)
