"""Package lists for unattended installations: one version of every package, one hash of every file.

``python -m tests.locks`` makes the lists from pyproject.toml; ``python -m mlops_cli.locks NAME`` prints the path of
one. They hold for every Python version and platform that mlops runs on.
"""

from __future__ import annotations

from pathlib import Path

# By name: the extras of pyproject.toml, and the packages that a list has in addition to mlops' dependencies.
# base, gate and report are for the steps on AWS; local, server (without TensorFlow) and aws for the jobs of the
# generated workflow.
LOCKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "base": ((), ()),
    "gate": ((), ("pytest",)),
    "report": ((), ("numpy",)),
    "local": (("local",), ()),
    "server": (("server",), ()),
    "aws": (("aws", "kaggle"), ()),
}


def path_of(name: str) -> Path:
    """Return the path of a list; raise KeyError for an unknown name."""
    LOCKS[name]
    return Path(__file__).with_name(f"{name}.txt")
