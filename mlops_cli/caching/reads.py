"""The files that a stage has read in addition to its known inputs, as its Python processes have noted them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.caching.stage_files import Files, is_declared
from mlops_cli.core.cache_inputs import FILE, FOLDER, READ
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.git.ignore_rules import CLUTTER_RULES, is_ignored
from mlops_cli.project.scripts_dir import DEFAULT

# Files of the system, which belong to no project.
SYSTEM = (
    "/usr/", "/lib", "/bin/", "/sbin/", "/etc/", "/run/", "/var/lib/", "/var/cache/", "/var/log/", "/var/run/",
    "/System/", "/Library/", "/nix/store/", "/snap/",
)  # fmt: skip
MISSING, CHANGING = "missing", "changed while the stage ran"


@dataclass(frozen=True)
class Reads:
    """The recorded reads of one project. ``digest``: returns a file's digest. ``scripts_dir``: relative to the root.

    ``code``: the folders of [code] path. Their files are named relative to the project's root, also outside of it.
    """

    root: Path
    files: Files
    digest: Callable[[Path], str]
    scripts_dir: str = DEFAULT
    code: Sequence[Path] = ()

    def cache_inputs(self, log: Path, started_ns: int, counted: Mapping[str, str]) -> dict[str, str]:
        """Return, by name, the files read by a stage that began at ``started_ns``, without those in ``counted``."""
        uses = _uses(log)
        written = {path for use, path in uses if use == "w"}
        values: dict[str, str] = {}
        for path, use in _inputs(uses).items():
            name = self._name(Path(path), FOLDER if use == "l" else FILE)
            # ``counted`` has earlier reads under their full names; they count again.
            is_counted = name.startswith(FILE) and name.removeprefix(FILE) in counted
            if is_counted or self._is_left_out(name, Path(path), use):
                continue
            if use == "a" and _changed_since(Path(path), started_ns):
                continue  # the program itself has written it
            # If this execution looked for a file and then wrote it, the next execution reads what it has written.
            is_own = use == "m" and path in written
            is_changing = use != "l" and not is_own and _changed_since(Path(path), started_ns)
            values[name] = CHANGING if is_changing else self._value(name, Path(path))
        return values

    def have_changed(self, log: Path, since_ns: int, counted: Mapping[str, str]) -> bool:
        """Return True if a file or folder in the log, except those in ``counted``, has changed since ``since_ns``.

        The earlier contents are unknown, so a new change time of the inode counts as a change.
        """
        uses = _uses(log)
        written = {path for use, path in uses if use == "w"}
        return any(
            self._has_changed(Path(path), use, since_ns)
            for path, use in _inputs(uses).items()
            if not (use == "m" and path in written) and self._name(Path(path), "") not in counted
        )

    def _has_changed(self, path: Path, use: str, since_ns: int) -> bool:
        inside = self._inside(path)
        is_in_training = inside is not None and inside.is_relative_to(self.scripts_dir)
        if self._is_of_system(path) or self._is_declared_idle(path):
            return False
        if use == "l":
            return inside is not None and not is_in_training and (not path.is_dir() or _changed_since(path, since_ns))
        if use == "m" or not path.exists():
            return path.exists() == (use == "m")
        return path.is_file() and _changed_since(path, since_ns)

    def now(self, name: str) -> str:
        """Return the present value of a cache input that a run has read."""
        shown = name.removeprefix(FILE).removeprefix(FOLDER)
        return self._value(name, self.root / shown)

    def are_same(self, cache_inputs: Mapping[str, str]) -> bool:
        """Return True if every file that was read is unchanged."""
        return all(self.now(name) == value for name, value in cache_inputs.items() if name.startswith(READ))

    def present(self, cache_inputs: Mapping[str, str]) -> dict[str, str]:
        """Return the present values of the files that were read, to compare them."""
        return {name: self.now(name) for name in cache_inputs if name.startswith(READ)}

    def written_files(self, log: Path) -> list[str]:
        """Return the files below the scripts' folder that a stage wrote without looking for them first."""
        uses = _uses(log)
        looked_for = _inputs(uses)
        created = [path for path in dict.fromkeys(path for use, path in uses if use == "w") if path not in looked_for]
        inside = [name for path in created if (name := self._inside(Path(path)))]
        below = [name for name in inside if name.is_relative_to(self.scripts_dir)]
        return [name.relative_to(self.scripts_dir).as_posix() for name in below]

    def programs(self, log: Path) -> set[str]:
        """Return the paths that the stage named to a program."""
        return {path for use, path in _uses(log) if use == "a"}

    def _name(self, path: Path, kind: str) -> str:
        inside = self._inside(path)
        if inside is None and any(path.is_relative_to(folder) for folder in self.code):
            inside = Path(os.path.relpath(path, self.root))
        return kind + (path if inside is None else inside).as_posix()

    def _inside(self, path: Path) -> Path | None:
        """Return the path relative to the project, also if the process saw the project under its resolved path."""
        roots = [root for root in (self.root, self.root.resolve()) if path.is_relative_to(root)]
        return path.relative_to(roots[0]) if roots else None

    def _is_left_out(self, name: str, path: Path, use: str) -> bool:
        """Return True for paths that are no inputs: of the system, of mlops, temporary, or excluded by usecase.toml."""
        inside = self._inside(path)
        if self._is_of_system(path):
            return True
        if name.startswith(FOLDER):
            return inside is None or inside.is_relative_to(self.scripts_dir) or not path.is_dir()
        if inside is None and not path.is_file() and (use != "m" or path.exists()):
            return True
        return path.is_dir() or self._is_declared_idle(path)

    def _is_of_system(self, path: Path) -> bool:
        """Return True for files that the system, git or mlops itself creates."""
        inside = self._inside(path)
        if inside is None:
            return path.as_posix().startswith(SYSTEM)
        return inside.parts[:1] in ((".mlops",), (".git",))

    def _is_declared_idle(self, path: Path) -> bool:
        """Return True if usecase.toml declares that no stage depends on the file."""
        inside = self._inside(path)
        target = path if inside is None else self.root / inside
        below = Path(os.path.relpath(target, self.root / self.scripts_dir)).as_posix()
        last = next((stages for key, stages in reversed(list(self.files.items())) if is_declared(below, key)), None)
        return last == ()

    def _value(self, name: str, path: Path) -> str:
        try:
            if name.startswith(FOLDER):
                names = sorted(entry.name for entry in path.iterdir() if not is_ignored(CLUTTER_RULES, entry.name))
                return digest_bytes(json.dumps(names).encode())
            return self.digest(path) if stat.S_ISREG(path.stat().st_mode) else "no file"
        except OSError:
            return MISSING


def _inputs(uses: list[tuple[str, str]]) -> dict[str, str]:
    """Return the paths that were read, passed to a program, looked for or listed before the stage wrote them."""
    inputs: dict[str, str] = {}
    written: set[str] = set()
    for use, path in uses:
        if use == "w":
            written.add(path)
        elif path not in written and inputs.get(path, "a") == "a":
            inputs[path] = use
    return inputs


def _uses(log: Path) -> list[tuple[str, str]]:
    """Return the notes in order: the kind of use, and the path."""
    lines = os.fsdecode(log.read_bytes()).split("\0") if log.is_file() else []
    return [(line[0], line[1:]) for line in lines if line]


def _changed_since(path: Path, moment_ns: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return max(status.st_mtime_ns, status.st_ctime_ns) > moment_ns
