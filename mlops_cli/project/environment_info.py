"""The git commit and the machine of a run."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.git.commands import git


def environment_info(root: Path) -> dict[str, Any]:
    """Return the commit of the project's files, the digest of uncommitted changes, and the machine."""
    return {"git": _git_state(root), "machine": machine()}


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"system": _system(), "processor": platform.machine(), "cpus": os.cpu_count(), "bytes": memory}


def _system() -> str:
    """Return the same as platform.platform(), which on Linux starts the program uname for an unused name."""
    if sys.platform != "linux":
        return platform.platform()
    kernel = os.uname()
    return "-".join([kernel.sysname, kernel.release, kernel.machine, "with", "".join(platform.libc_ver())])


def _git_state(root: Path) -> dict[str, Any] | None:
    """Return None without git, a repository or a commit."""
    try:
        commit = git(root, "rev-parse", "HEAD").decode().strip()
        changed = git(root, "diff", "HEAD", "--binary", "--", ".")
        untracked = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    except MlopsError:
        return None
    dirty = bool(changed or untracked)
    return {"commit": commit, "dirty": dirty, "diff_sha256": digest_bytes(changed) if changed else ""}
