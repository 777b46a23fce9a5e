"""The files of the scripts' folder that count for a stage besides the modules that its script imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path

from mlops_cli.caching.sources import Sources
from mlops_cli.core.stages import STAGES, Kind, Stage
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.git.ignore_rules import is_ignored, rules_of
from mlops_cli.project.scripts_dir import FILE

# Files with these names are usually not read by scripts. If one is read, the run records it.
UNREAD = rules_of(("README*", "LICENSE*", "CHANGELOG*", ".git*", ".editorconfig"))

Files = Mapping[str, tuple[str, ...]]


def other_files(
    stage: Stage,
    training: Path,
    names: Sequence[str],
    files: Files,
    sources: Sources,
    data_scripts: Sequence[str] = (),
) -> list[str]:
    """Return the ``names`` (relative to ``training``) that count for the stage although no script imports them.

    A module that a script imports counts only for the scripts that import it. A gate's suite counts only for that gate,
    and the files of ``data_scripts`` only for the data. All other files count for every script, and those below tests/
    for both gates, unless ``files`` (patterns and stages) says otherwise.
    """
    imported = {*_imported(training, sources, data_scripts), FILE}  # each stage counts its own sections of that file
    return [name for name in names if name not in imported and stage.name in stages_of(name, files)]


def stages_of(name: str, files: Files) -> tuple[str, ...]:
    """Return the stages for which a file counts if no script imports it."""
    for pattern, stages in reversed(list(files.items())):
        if is_declared(name, pattern):
            return stages
    if is_ignored(UNREAD, name):
        return ()
    scripts = [stage for stage in STAGES if stage.script]
    below_tests = name.startswith("tests/")
    return tuple(stage.name for stage in scripts if stage.kind is Kind.GATE or not below_tests)


def is_declared(name: str, pattern: str) -> bool:
    """Return True if a pattern, as in .gitignore, matches the file or a folder above it."""
    parts = name.split("/")
    heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(is_ignored(rules_of([pattern]), head, head != name) for head in heads)


def _imported(training: Path, sources: Sources, data_scripts: Sequence[str]) -> set[str]:
    """Return the scripts and every module that any of them imports.

    A module that is not valid Python is reported by the stages for which it counts, not by the other ones.
    """
    names = [name for stage in STAGES if stage.script for name in (stage.script, *stage.packs)]
    scripts = [training / name for name in (*names, *data_scripts)]
    paths = sources.of([script for script in scripts if script.is_file()], valid_only=False)
    return {path.relative_to(training).as_posix() for path in paths if path.is_relative_to(training)}


def file_inputs(
    stage: Stage,
    training: Path,
    names: Sequence[str],
    files: Files,
    imports_by_digest: MutableMapping[str, list[str]],
    digest: Callable[[Path], str],
    data_scripts: Sequence[str] = (),
    code: Sequence[Path] = (),
    project: Path | None = None,
) -> dict[str, str]:
    """Return the digests of the other files that count for the stage, by their paths in ``project``."""
    prefix = training.relative_to(project or training.parent).as_posix()
    sources = Sources(training, imports_by_digest, code)
    counted_files = other_files(stage, training, names, files, sources, data_scripts)
    return {f"{prefix}/{name}": _digest(training / name, digest) for name in counted_files}


def _digest(path: Path, digest: Callable[[Path], str]) -> str:
    """Return the file's digest. Sockets, devices and dangling links have no content to compare."""
    return digest(path) if path.is_file() else digest_bytes(b"no file")
