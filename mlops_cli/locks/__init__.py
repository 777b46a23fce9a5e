"""What is installed beside mlops where nobody looks on: every package in one version, every file by its hash.

``python -m tests.locks`` makes the lists from pyproject.toml; ``python -m mlops_cli.locks NAME`` prints where one lies.
They hold for every Python and platform that mlops runs on.
"""

from __future__ import annotations

from pathlib import Path

# By name: the extras of pyproject.toml and the packages of their own that a list has beside mlops' dependencies.
# base, gate and report are for the build steps on AWS; local and aws for the jobs of the generated workflow.
LOCKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "base": ((), ()),
    "gate": ((), ("pytest",)),
    "report": ((), ("numpy",)),
    "local": (("local",), ()),
    "aws": (("aws", "kaggle"), ()),
}


def path_of(name: str) -> Path:
    """Return where a list lies; raise KeyError for an unknown name."""
    LOCKS[name]
    return Path(__file__).with_name(f"{name}.txt")
