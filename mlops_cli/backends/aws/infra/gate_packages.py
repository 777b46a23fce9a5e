"""The packages that a gate's build installs: the project's list, and the hash of every file.

Run as a program, this module prints the list's path without its extension, for templates/buildspec.yml.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mlops_cli.errors import ConfigurationError
from mlops_cli.project.paths import Project

# In the scripts' folder; the first of these that exists is the gates' list.
JOBS = "requirements.txt"
LISTS = (f"tests/{JOBS}", JOBS)


def gate_list(project: Project) -> str:
    """Return the path of the gates' list; if there is none, its usual path."""
    name = next((name for name in LISTS if (project.training / name).is_file()), JOBS)
    return f"{project.scripts_dir}/{name}"


def lock_of(name: str) -> str:
    """Return the path of the file with the hashes, beside the list."""
    return f"{name.removesuffix('.txt')}.lock"


def lock_command(name: str) -> str:
    return f"uv pip compile --universal --generate-hashes {name} -o {lock_of(name)}"


def requirements_of(path: Path) -> list[str]:
    """Return the requirements in a list, each with its hashes; none if the list does not exist."""
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in re.sub(r"\\\r?\n", " ", text).splitlines()]
    return [line for line in lines if line]


def without_hash(root: Path, name: str) -> list[str]:
    """Return the requirements that have a hash neither in the list nor in the file beside it."""
    lock = requirements_of(root / lock_of(name))
    hashed = {_distribution(line) for line in lock if "--hash=" in line}
    return [
        line
        for line in requirements_of(root / name)
        if "--hash=" not in line and (not _distribution(line) or _distribution(line) not in hashed)
    ]


def check_gate_packages(project: Project) -> None:
    """Raise ConfigurationError for packages without hashes: a gate's step would refuse to install them."""
    name = gate_list(project)
    missing = without_hash(project.root, name)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConfigurationError(
            f"{name} names {', '.join(missing[:3])}{more} without a hash: a gate on AWS would not install it.",
            f"Write the hashes beside it: {lock_command(name)}",
        )


def _distribution(requirement: str) -> str:
    """Return the package's normalized name; empty for an option, a path or an address."""
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*(\[|[=<>!~;@(]|--hash|$))", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


if __name__ == "__main__":
    sys.stdout.write(gate_list(Project(Path.cwd())).removesuffix(".txt") + "\n")
