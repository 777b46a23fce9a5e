"""A short link to a job's folder for temporary files: the path of a socket can have only about a hundred characters.

The link is outside of the project, so cleaning up a folder does not remove it. The command that ends a job removes the
job's link.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# The path that multiprocessing adds to TMPDIR for a socket, and the longest path that systems accept.
SOCKET, LONGEST_SOCKET = "/pymp-12345678/listener-12345678", 103
SHORT = "/tmp"  # noqa: S108 (holds a link to our own folder, under an unpredictable name)
PREFIX = "mlops-"


def short_path(folder: Path) -> str:
    """Return a path of the folder that is short enough for sockets: its own path or a link to it."""
    if not _is_too_long(folder):
        return str(folder)
    link = _link(folder.name)
    try:
        link.symlink_to(folder.resolve())
    except OSError:
        is_ours = _is_own_link(link) and link.readlink() == folder.resolve()
        return str(link if is_ours else folder)  # without a link, only sockets fail
    return str(link)


def remove_link(token: str) -> None:
    """Remove the link of the job with this token, if it has one."""
    link = _link(token)
    with contextlib.suppress(OSError):  # there is no link, or another process has just removed it
        if _is_own_link(link) and link.readlink().name == token:
            link.unlink()


def remove_lost_links(folder: Path) -> None:
    """Remove the links of jobs in ``folder`` whose folders are gone."""
    if not _is_too_long(folder / "0123456789ab"):
        return
    jobs = folder.resolve()
    links: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(SHORT) as entries:
        links = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX) and entry.is_symlink()]
    for link in links:
        with contextlib.suppress(OSError):  # it was removed since
            target = link.readlink()
            if target.parent == jobs and link == _link(target.name) and not target.exists():
                remove_link(target.name)


def _link(token: str) -> Path:
    return Path(SHORT, PREFIX + token)


def _is_too_long(folder: Path) -> bool:
    return len(os.fsencode(folder)) + len(SOCKET) > LONGEST_SOCKET


def _is_own_link(link: Path) -> bool:
    return link.is_symlink() and link.lstat().st_uid == os.geteuid()
