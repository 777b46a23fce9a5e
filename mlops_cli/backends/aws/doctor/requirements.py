"""Check that the scripts' packages, installed by build steps and jobs, cannot be replaced on a package index."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.core.checks import Finding, State, ok

FILE = "training/requirements.txt"


def requirements(subject: CheckContext) -> Iterator[Finding]:
    """Check the use case's own packages; yield nothing if it has none. Those of mlops are installed by hash."""
    path = subject.project.root / FILE
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not lines:
        return
    if any("--hash=" in line for line in lines):
        yield ok("requirements", f"{FILE} has a hash for every package")
        return
    yield Finding(
        "requirements",
        State.WARNING,
        f"{FILE} names packages without their hashes.",
        "Gates and jobs install whatever the package index serves under these names.",
        "Rename it to training/requirements.in, then: "
        "uv pip compile --universal --generate-hashes training/requirements.in -o training/requirements.txt",
    )
