"""The project's files for the pipeline as one bundle: complete, and byte for byte the same each time."""

from __future__ import annotations

import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.backends.aws.infra.gate_packages import check_gate_packages
from mlops_cli.backends.aws.infra.source.git_files import list_files
from mlops_cli.backends.aws.infra.source.root import outside_folders, source_root
from mlops_cli.backends.aws.infra.source.sent_files import (
    LINKED,
    UNTRACKED,
    exclusion_reason,
    outside_reasons,
    shared_code,
)
from mlops_cli.caching.key import source_inputs
from mlops_cli.caching.stage_files import stages_of
from mlops_cli.core.secrets import is_secret_file
from mlops_cli.core.stages import STAGES
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.packaging.wheel import EPOCH
from mlops_cli.project.git.tracked_files import tracked_or_new_files
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.reader import load_use_case

NEEDED = ("templates/buildspec.yml", "templates/endpoint.yaml")


@dataclass(frozen=True)
class SourceBundle:
    """``files``: paths below ``root``, sorted. ``left_out``: why a file is excluded, by its path in the project."""

    root: Path
    files: tuple[str, ...]
    left_out: dict[str, str]

    def content(self, name: str) -> bytes:
        """Return a file's bytes. CodeCommit's API accepts no empty file, so an empty file becomes one empty line."""
        return (self.root / name).read_bytes() or b"\n"

    def executable(self, name: str) -> bool:
        return bool((self.root / name).stat().st_mode & stat.S_IXUSR)

    @property
    def bytes(self) -> int:
        return sum((self.root / name).stat().st_size for name in self.files)

    def write_zip(self, path: Path) -> None:
        """Write the files as a zip. Equal files give equal bytes."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.files:
                entry = zipfile.ZipInfo(name, EPOCH)
                entry.create_system = 3
                entry.external_attr = (stat.S_IFREG | (0o755 if self.executable(name) else 0o644)) << 16
                archive.writestr(entry, self.content(name), zipfile.ZIP_DEFLATED)


def bundle_source(project: Project) -> SourceBundle:
    """Select the files. Raise MlopsError if a file that AWS needs is not among them.

    If scripts import packages from outside of the project's folder, the root is the repository's.
    """
    root, folders = project.root, load_use_case(project.use_case_file).passed.code
    names, untracked = list_files(root)
    may_hold_data = (f"{project.scripts_dir}/", "templates/")
    reasons = {name: exclusion_reason(root, name, name.startswith(may_hold_data)) for name in names}
    top = source_root(root, folders)
    for folder in outside_folders(root, folders):
        more_reasons, more_untracked = outside_reasons(root, folder)
        reasons, untracked = {**reasons, **more_reasons}, [*untracked, *more_untracked]
    left_out = {name: reason for name, reason in reasons.items() if reason}
    files = tuple(name for name in reasons if name not in left_out)
    bundle = SourceBundle(root, files, {**left_out, **dict.fromkeys(untracked, UNTRACKED)})
    _check(project, bundle)
    _check_variables(project)
    return SourceBundle(top, tuple(sorted(_path_below(top, root / name) for name in files)), bundle.left_out)


def _path_below(root: Path, path: Path) -> str:
    return Path(os.path.normpath(path)).relative_to(root).as_posix()


def _check_variables(project: Project) -> None:
    """Raise MlopsError for variables from the caller's environment, which the pipeline does not have."""
    names = load_use_case(project.use_case_file).passed.names
    if names:
        raise ConfigurationError(
            f"Scripts get {', '.join(names)} from your environment, which AWS does not have.",
            "Set the values in usecase.toml, in [environment.set] instead of [environment] pass.",
        )


def _check(project: Project, bundle: SourceBundle) -> None:
    """Raise MlopsError unless the bundle has all imports of the stages and all files that the pipeline reads."""
    imports: dict[str, list[str]] = {}
    shared = load_use_case(project.use_case_file).passed.code
    shared_code(project.root, shared)
    stages = [stage for stage in STAGES if stage.script]
    required = {
        name
        for stage in stages
        for name in source_inputs(project.training / stage.script, imports, stage.packs, shared, project.root)
        if not name.startswith("package ")
    }
    use_case = project.use_case_file.relative_to(project.root).as_posix()
    for name in sorted({use_case, *NEEDED, *required} - set(bundle.files)):
        if not (project.root / name).exists():
            raise ConfigurationError(
                f"{name} is missing, and the pipeline needs it.", f"Restore it: git checkout -- {name}"
            )
        why = bundle.left_out.get(name, "git ignores it")
        raise _unsent(project, name, why)
    _check_others(project, bundle)
    check_gate_packages(project)


def _check_others(project: Project, bundle: SourceBundle) -> None:
    """Raise MlopsError unless the bundle has all files that count for a stage and are not secret."""
    files = load_use_case(project.use_case_file).files
    for name in tracked_or_new_files(project.root, project.scripts_dir):
        below = name.removeprefix(f"{project.scripts_dir}/")
        if name in bundle.files or not stages_of(below, files) or is_secret_file(name):
            continue
        raise _unsent(project, name, bundle.left_out.get(name, "git ignores it"))


def _unsent(project: Project, name: str, why: str) -> MlopsError:
    below = name.removeprefix(f"{project.scripts_dir}/")
    solutions = {LINKED: "Put the file itself in its place."}
    way_out = f"Track it: git add {name}" if "git" in why else solutions.get(why, "Give it another name.")
    if not name.endswith(".py"):
        way_out += f' Or exclude it in usecase.toml, [files]: "{below}" = []'
    return MlopsError(f"{name} would not be uploaded, but a stage on AWS needs it: {why}.", way_out)
