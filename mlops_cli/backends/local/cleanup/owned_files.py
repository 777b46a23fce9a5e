"""The paths in .mlops/ that mlops creates, by name. Cleanup removes these and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.core.stages import STAGES
from mlops_cli.files.atomic import remove_partial_files
from mlops_cli.project.paths import Project

KEY = "[0-9a-f]{16}(-[0-9a-f]{12})?"
STAGE = "|".join(stage.name for stage in STAGES)
# The suffix of partial files, which killed commands may leave.
UNFINISHED = r"(\.[0-9]+\.partial)?"


@dataclass(frozen=True)
class OwnedPath:
    """Paths in .mlops/ that match a pattern part by part, with their description in a plan.

    A file where a folder is expected, or the reverse, is not ours.
    """

    pattern: str
    description: str
    is_folder: bool = False

    def matches(self, parts: tuple[str, ...]) -> bool:
        patterns = self.pattern.split("/")
        return len(parts) == len(patterns) and self._matches_start(parts)

    def may_contain(self, parts: tuple[str, ...]) -> bool:
        """Return True if the folder with this path may contain a matching path."""
        return len(parts) < len(self.pattern.split("/")) and self._matches_start(parts)

    def _matches_start(self, parts: tuple[str, ...]) -> bool:
        return all(re.fullmatch(pattern, part) for pattern, part in zip(self.pattern.split("/"), parts, strict=False))


RUN_FILES = rf"(({STAGE})\.(log|json|reads)|run\.log|environment\.json|report\.html|comparison\.json){UNFINISHED}"
ENDPOINT_FILES = (
    r"(deployment\.json|outcome\.json|endpoint\.json|supervisor\.lock|workers\.lock|server\.log(\.1)?)" + UNFINISHED
)

WORK = (
    OwnedPath(f"runs/[0-9a-f]+/{RUN_FILES}", "logs"),
    OwnedPath(rf"artifacts/({STAGE})/({KEY}|\.tmp-{KEY}|\.checkpoints|\.last)", "outputs of stages", is_folder=True),
    OwnedPath(f"endpoint/{ENDPOINT_FILES}", "the endpoint's files"),
    OwnedPath("endpoint/(models|observed|children)", "the endpoint's files", is_folder=True),
    OwnedPath("reproduction", "files of an interrupted reproduction", is_folder=True),
    OwnedPath("children", "temporary files of processes", is_folder=True),
    OwnedPath(f"unsent\\.json{UNFINISHED}", "files that jobs on AWS would not have"),
    OwnedPath(f"seen\\.json{UNFINISHED}", "run ids of aws for Tab completion"),
    OwnedPath(f"prices\\.json{UNFINISHED}", "AWS prices, cached for a day"),
    OwnedPath(f"({STAGE})\\.(json|reads)", "files of a step on AWS"),
    OwnedPath("stage", "files of a step on AWS", is_folder=True),
    OwnedPath(r"state\.(db|~)(-journal|-wal|-shm)?", "the run store"),
)
DATA = (
    OwnedPath(rf"data/dataset\.(csv|json){UNFINISHED}", "the downloaded dataset"),
    OwnedPath(r"data/script\.(log|reads)", "the log of the script that wrote the dataset"),
    OwnedPath("data/files", "the downloaded dataset", is_folder=True),
    OwnedPath("data/partial", "unfinished downloads", is_folder=True),
)
# The marker is removed last. While it exists, a killed cleanup can be repeated.
FRAME = (
    OwnedPath("lock", "the lock"),
    OwnedPath(rf"\.gitignore{UNFINISHED}", "keeps .mlops/ out of git"),
    OwnedPath(r"project\.json\.[0-9]+\.partial", "an unfinished file"),
    OwnedPath("project\\.json", "the project's state"),
)


def owned_paths(project: Project, keep_data: bool) -> list[tuple[Path, str]]:
    """Return mlops' paths without the frame, with descriptions; of a folder wholly of mlops, only the folder."""
    owned = WORK if keep_data else (*WORK, *DATA)
    paths = [(path, text) for path, text in _walk(project.state, project.state, owned) if text]
    order = [owned_path.description for owned_path in owned]
    return sorted(paths, key=lambda entry: order.index(entry[1]) if entry[1] in order else -1)


def frame(project: Project) -> list[tuple[Path, str]]:
    """Return the paths that are removed last, the marker at the very end."""
    paths = list(_walk(project.state, project.state, FRAME))
    return [(path, text) for owned_path in FRAME for path, text in paths if text == owned_path.description]


def unknown_paths(project: Project) -> list[Path]:
    """Return the paths that mlops does not create."""
    owned = (*WORK, *DATA, *FRAME)
    return [path for path, text in _walk(project.state, project.state, owned) if not text]


def folders(project: Project, keep_data: bool) -> list[Path]:
    """Return the folders with mlops' files, the deepest first. They are removed, too, once they are empty."""
    owned = WORK if keep_data else (*WORK, *DATA)
    paths = [
        path
        for depth in ("*", "*/*")
        for path in project.state.glob(depth)
        if path.is_dir()
        and not path.is_symlink()
        and any(owned_path.may_contain(path.relative_to(project.state).parts) for owned_path in owned)
    ]
    return sorted(paths, key=lambda path: -len(path.parts))


def remove_unfinished(project: Project) -> None:
    """Remove the partial files that killed commands have left."""
    for pattern in ("*", "runs/*/*", "endpoint/*", "endpoint/models/*"):
        remove_partial_files(project.state, pattern)


def _walk(state: Path, folder: Path, owned: tuple[OwnedPath, ...]) -> Iterator[tuple[Path, str]]:
    """Yield each path with its description, which is empty for an unknown path."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        parts = path.relative_to(state).parts
        is_link, is_folder = path.is_symlink(), path.is_dir()
        inner = any(owned_path.may_contain(parts) for owned_path in owned)
        matching = (each for each in owned if each.matches(parts) and (is_link or each.is_folder == is_folder))
        if inner and is_folder and not is_link:
            yield from _walk(state, path, owned)
        elif inner and is_link:
            yield path, "a link; its target stays"
        else:
            yield path, next((each.description for each in matching), "")
