"""One bare git repository. This module knows nothing about AWS."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MODES = {"NORMAL": "100644", "EXECUTABLE": "100755", "SYMLINK": "120000"}
NAMES = {mode: name for name, mode in MODES.items()}
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@dataclass(frozen=True)
class Entry:
    """A file or folder in a commit; its type is blob, tree or commit."""

    path: str
    kind: str
    id: str
    mode: str


@dataclass(frozen=True)
class Difference:
    before: Entry | None
    after: Entry | None
    change: str


class Git:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True, env=_environment())

    def commit(
        self,
        branch: str,
        parent: str | None,
        put: Iterable[tuple[str, str, bytes]],
        delete: Iterable[str],
        author: tuple[str, str],
        message: str,
    ) -> str:
        """Commit ``put`` ((path, mode, content), …) and ``delete`` to a branch. Return the commit's id."""
        signature = f"{author[0]} <{author[1]}> {int(time.time())} +0000".encode()
        text = message.encode()
        lines = [b"commit refs/heads/" + branch.encode(), b"committer " + signature, b"data %d\n" % len(text) + text]
        lines += [b"from " + parent.encode()] if parent else []
        lines += [b"D " + _quoted(path) for path in delete]
        for path, mode, content in put:
            lines += [b"M %s inline %s" % (MODES[mode].encode(), _quoted(path)), b"data %d\n" % len(content) + content]
        self._run("fast-import", "--quiet", "--force", data=b"\n".join([*lines, b""]))
        return self.branch(branch) or ""

    def branch(self, name: str) -> str | None:
        return self.resolve(f"refs/heads/{name}")

    def branches(self) -> list[str]:
        return self._text("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()

    def set_branch(self, name: str, commit: str) -> None:
        self._run("update-ref", f"refs/heads/{name}", commit)

    def delete_branch(self, name: str) -> None:
        self._run("update-ref", "-d", f"refs/heads/{name}")

    def resolve(self, specifier: str) -> str | None:
        """Return the id of the commit for a branch, a tag or an id."""
        for candidate in (f"refs/heads/{specifier}", specifier):
            commit = self._try("rev-parse", "-q", "--verify", f"{candidate}^{{commit}}")
            if commit:
                return commit
        return None

    def describe(self, commit: str) -> dict[str, str]:
        """Return tree, parents, author, committer (each name, email, date) and message."""
        names = ("tree", "parents", "author", "email", "date", "committer", "committer_email", "committer_date", "text")
        parts = self._text("show", "-s", "--format=%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B", commit)
        return dict(zip(names, parts.rstrip("\n").split("\0"), strict=True))

    def entries(self, commit: str, folder: str = "") -> list[Entry]:
        """Return the entries of one folder without those of the folders in it."""
        where = [f"{folder}/"] if folder else []
        rows = self._text("ls-tree", "-z", commit, "--", *where).split("\0")
        return [_entry(row) for row in rows if row]

    def entry(self, commit: str, path: str) -> Entry | None:
        rows = self._text("ls-tree", "-z", commit, "--", path).split("\0")
        return _entry(rows[0]) if rows[0] else None

    def content(self, blob: str) -> bytes:
        return self._run("cat-file", "blob", blob)

    def differences(self, before: str | None, after: str, *paths: str) -> list[Difference]:
        rows = self._text(
            "diff-tree",
            "-r",
            "-z",
            "--no-renames",
            before or EMPTY_TREE,
            after,
            "--",
            *[path for path in paths if path],
        ).split("\0")
        return [_difference(facts, path) for facts, path in zip(rows[::2], rows[1::2], strict=False)]

    def archive(self, commit: str) -> bytes:
        """Return the commit's files as a zip."""
        return self._run("archive", "--format=zip", commit)

    def _text(self, *arguments: str) -> str:
        return self._run(*arguments).decode()

    def _try(self, *arguments: str) -> str:
        done = subprocess.run(self._argv(*arguments), capture_output=True, env=_environment(), check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    def _run(self, *arguments: str, data: bytes = b"") -> bytes:
        done = subprocess.run(self._argv(*arguments), input=data, capture_output=True, env=_environment(), check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _argv(self, *arguments: str) -> list[str]:
        return ["git", "--git-dir", str(self.folder), *arguments]


def _entry(row: str) -> Entry:
    facts, _, path = row.partition("\t")
    mode, kind, identity = facts.split(" ")
    return Entry(path, kind, identity, mode)


def _difference(facts: str, path: str) -> Difference:
    before_mode, after_mode, before, after, change = facts.lstrip(":").split(" ")
    return Difference(
        Entry(path, "blob", before, before_mode) if change != "A" else None,
        Entry(path, "blob", after, after_mode) if change != "D" else None,
        "M" if change == "T" else change,
    )


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()


def _environment() -> dict[str, str]:
    """Return an environment without the machine's own git configuration."""
    return {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "TZ": "UTC"}
