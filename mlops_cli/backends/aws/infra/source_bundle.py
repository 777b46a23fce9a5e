"""The files of a project that are sent to AWS: tracked by git, no secrets, no data; the same bytes each time."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mlops_cli.backends.aws.infra.gate_packages import check_gate_packages
from mlops_cli.backends.aws.infra.git_files import is_in_git, list_files
from mlops_cli.caching.key import source_inputs
from mlops_cli.caching.stage_files import stages_of
from mlops_cli.caching.unsent import is_data_file
from mlops_cli.core.secrets import has_secret_content, is_secret_file
from mlops_cli.core.stages import STAGES
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.packaging.wheel import EPOCH
from mlops_cli.project.ignore_rules import walk_files
from mlops_cli.project.paths import Project
from mlops_cli.project.tracked_files import tracked_or_new_files
from mlops_cli.project.usecase import load_use_case

# Tracked or not, these are never sent. Every part of a path is compared in lower case.
NEVER = (".git", ".mlops", "__pycache__", "*.pyc", ".venv", ".ds_store")
DATA_FOLDERS = ("data", "datasets")
CONFIDENTIAL = "it may hold a secret"
HEAD_BYTES = 1 << 16
NEEDED = ("templates/buildspec.yml", "templates/endpoint.yaml")


@dataclass(frozen=True)
class SourceBundle:
    """``files`` are paths below ``root``, sorted; ``left_out`` gives the reasons of the others."""

    root: Path
    files: tuple[str, ...]
    left_out: dict[str, str]

    def content(self, name: str) -> bytes:
        """Return a file's bytes; an empty file becomes an empty line, since CodeCommit's API takes no empty files."""
        return (self.root / name).read_bytes() or b"\n"

    def executable(self, name: str) -> bool:
        return bool((self.root / name).stat().st_mode & stat.S_IXUSR)

    @property
    def bytes(self) -> int:
        return sum((self.root / name).stat().st_size for name in self.files)

    def write_zip(self, path: Path) -> None:
        """Write the files; equal files give equal bytes."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.files:
                entry = zipfile.ZipInfo(name, EPOCH)
                entry.create_system = 3
                entry.external_attr = (stat.S_IFREG | (0o755 if self.executable(name) else 0o644)) << 16
                archive.writestr(entry, self.content(name), zipfile.ZIP_DEFLATED)


def bundle_source(project: Project) -> SourceBundle:
    """Select the files; raise MlopsError if a file that AWS needs is not among them."""
    names, untracked = list_files(project.root)
    may_hold_data = (f"{project.scripts_dir}/", "templates/")
    reasons = {name: _exclusion_reason(project.root, name, name.startswith(may_hold_data)) for name in names}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    files = tuple(sorted(name for name in names if name not in left_out))
    bundle = SourceBundle(project.root, files, {**left_out, **dict.fromkeys(untracked, "git does not track it")})
    _check(project, bundle)
    _check_variables(project)
    return bundle


def sent_code(root: Path, folder: str, may_hold_data: bool = True) -> list[str]:
    """Return the jobs' files, relative to a folder: those to be sent, or in a step on AWS all that were.

    Files of data are code in the scripts' folder, but not in shared ones.
    """
    if is_in_git(root) and (tracked := list_files(root)[0]):
        names = [name for name in tracked if name.startswith(f"{folder}/")]
    else:
        names = walk_files(root, folder, gitignore=False, clutter=())
    return [name.removeprefix(f"{folder}/") for name in names if not _exclusion_reason(root, name, may_hold_data)]


def shared_code(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the files of the folders of [code] path, by their path on Python's path.

    Raise ConfigurationError for a folder outside of the project, and for files of one name.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_relative_to(root):
            raise ConfigurationError(
                f"{folder}, in [code] path of usecase.toml, is outside of the project's folder: AWS does not get it.",
                "Move the folder, or the scripts, so that both are in one folder.",
            )
        for name in sent_code(root, folder.relative_to(root).as_posix(), may_hold_data=False):
            if files.setdefault(name, folder / name) != folder / name:
                raise ConfigurationError(
                    f"{files[name]} and {folder / name} would be one file on AWS.", "Rename one of them."
                )
    return files


def _exclusion_reason(root: Path, name: str, may_hold_data: bool) -> str:
    """Return the reason why a file is not sent, empty if it is."""
    path, parts = root / name, PurePosixPath(name.lower()).parts
    if _matches_any(parts, NEVER):
        return "generated wherever it is needed"
    if is_secret_file(name):
        return CONFIDENTIAL
    if _is_linked(root, name) and not _is_example(root, path):
        return "a link to somewhere else"
    if not path.is_file():
        return "not a file"
    if not may_hold_data and (parts[0] in DATA_FOLDERS or is_data_file(parts[-1])):
        return "data: mlops download-data uploads it"
    return CONFIDENTIAL if has_secret_content(name, _head(path)) else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _matches_any(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(part, pattern) for part in parts for pattern in patterns)


def _is_linked(root: Path, name: str) -> bool:
    """Return True if the file or a folder above it, within the project, is a link."""
    return (root / name).resolve() != root.resolve() / name


def _is_example(root: Path, link: Path) -> bool:
    """Return True if a link leads to a file of the project that may be sent itself."""
    target = link.resolve()
    if not target.is_relative_to(root.resolve()):
        return False
    return not is_secret_file(target.relative_to(root.resolve()).as_posix())


def _check_variables(project: Project) -> None:
    """Raise MlopsError for variables from the caller's environment: the pipeline does not have it."""
    names = load_use_case(project.use_case_file).passed.names
    if names:
        raise ConfigurationError(
            f"Scripts get {', '.join(names)} from your environment, which AWS does not have.",
            "Set the values in usecase.toml, in [environment.set] instead of [environment] pass.",
        )


def _check(project: Project, bundle: SourceBundle) -> None:
    """Raise MlopsError unless all imports of the stages and all files that the pipeline reads are sent."""
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
    """Raise MlopsError unless all files that count for a stage and are no secrets are sent."""
    files = load_use_case(project.use_case_file).files
    for name in tracked_or_new_files(project.root, project.scripts_dir):
        below = name.removeprefix(f"{project.scripts_dir}/")
        if name in bundle.files or not stages_of(below, files) or is_secret_file(name):
            continue
        raise _unsent(project, name, bundle.left_out.get(name, "git ignores it"))


def _unsent(project: Project, name: str, why: str) -> MlopsError:
    below = name.removeprefix(f"{project.scripts_dir}/")
    way_out = f"Track it: git add {name}" if "git" in why else "Give it another name."
    if not name.endswith(".py"):
        way_out += f' Or say in usecase.toml, [files], that it does not matter: "{below}" = []'
    return MlopsError(f"{name} would not be uploaded, but a stage on AWS needs it: {why}.", way_out)
