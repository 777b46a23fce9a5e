"""Which files of training/ count for which stage, beside the modules that its script imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path

from mlops_cli.caching.key import Sources
from mlops_cli.core.stages import STAGES, Kind, Stage
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.tracked_files import is_ignored, rules_of

# Counted in parts, by what each stage reads of it.
USE_CASE = "usecase.toml"
# Not read by any script, as far as names tell; a run shows it if one does.
UNREAD = rules_of(("README*", "LICENSE*", "CHANGELOG*", ".git*", ".editorconfig"))

Files = Mapping[str, tuple[str, ...]]


def other_files(stage: Stage, training: Path, names: Sequence[str], files: Files, sources: Sources) -> list[str]:
    """The names among ``names`` (relative to ``training``) that count for the stage though its script imports none.

    A module that some script imports counts for these scripts only, and each gate's own suite for that gate. What is
    left counts for every script, below tests/ for both gates, unless ``files`` (patterns and stages) says otherwise.
    """
    imported = _imported(training, sources)
    return [
        name for name in names if name not in imported and name != USE_CASE and stage.name in stages_of(name, files)
    ]


def stages_of(name: str, files: Files) -> tuple[str, ...]:
    """The stages that a file which no script imports counts for."""
    for pattern, stages in reversed(list(files.items())):
        if is_declared(name, pattern):
            return stages
    if is_ignored(UNREAD, name):
        return ()
    scripts = [stage for stage in STAGES if stage.script]
    below_tests = name.startswith("tests/")
    return tuple(stage.name for stage in scripts if stage.kind is Kind.GATE or not below_tests)


def is_declared(name: str, pattern: str) -> bool:
    """Whether a pattern, as of a .gitignore, names the file or a folder that it lies in."""
    parts = name.split("/")
    heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(is_ignored(rules_of([pattern]), head, head != name) for head in heads)


def _imported(training: Path, sources: Sources) -> set[str]:
    """The scripts and every module that some of them imports."""
    scripts = [training / name for stage in STAGES if stage.script for name in (stage.script, *stage.packs)]
    paths = sources.of([script for script in scripts if script.is_file()])
    return {path.relative_to(training).as_posix() for path in paths}


def file_ingredients(
    stage: Stage,
    training: Path,
    names: Sequence[str],
    files: Files,
    imports_by_digest: MutableMapping[str, list[str]],
    digest: Callable[[Path], str],
) -> dict[str, str]:
    """The other files that count for the stage, by the digest of what they hold or lead to."""
    counted_files = other_files(stage, training, names, files, Sources(training, imports_by_digest))
    return {f"training/{name}": _digest(training / name, digest) for name in counted_files}


def _digest(path: Path, digest: Callable[[Path], str]) -> str:
    """A socket, a device or a link to nothing holds nothing that could be compared."""
    return digest(path) if path.is_file() else digest_bytes(b"no file")
