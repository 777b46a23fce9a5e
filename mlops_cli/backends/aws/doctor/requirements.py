"""Check that the scripts' packages, installed by build steps and jobs, cannot be replaced on a package index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.core.checks import Finding, State, ok

FILES = ("training/requirements.txt", "training/tests/requirements.txt")


def requirements(subject: CheckContext) -> Iterator[Finding]:
    """Check the use case's own packages; yield nothing if it has none. Those of mlops are installed by hash."""
    for name in FILES:
        yield from _file(subject.project.root / name, name)


def _file(path: Path, name: str) -> Iterator[Finding]:
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not lines:
        return
    if any("--hash=" in line for line in lines):
        yield ok("requirements", f"{name} has a hash for every package")
        return
    yield Finding(
        "requirements",
        State.WARNING,
        f"{name} names packages without their hashes.",
        "Gates and jobs install whatever the package index serves under these names.",
        f"Rename it to {name.removesuffix('.txt')}.in, then: "
        f"uv pip compile --universal --generate-hashes {name.removesuffix('.txt')}.in -o {name}",
    )
