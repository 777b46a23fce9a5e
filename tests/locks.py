"""Makes the lists in mlops_cli/locks from pyproject.toml, and the lock of the use case's own list.

``python -m tests.locks``, with uv on the PATH.

All lists agree on versions, since each is cut out of one resolution. Only PyPI is asked, for every Python and platform.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.infra.gate_packages import requirements_of
from mlops_cli.locks import LOCKS, path_of
from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPI = "https://pypi.org/simple"
GATES = ROOT / "training" / "tests" / "requirements.txt"
HEAD = "# Made by python -m tests.locks from pyproject.toml.\n"


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def requirements(name: str) -> list[str]:
    """Return pyproject.toml's requirements for a list. The list's own packages have the range of the local extra."""
    extras, own = LOCKS[name]
    optional = project()["optional-dependencies"]
    ranges = [line for line in optional["local"] if line.split(">")[0].split("=")[0].strip() in own]
    assert len(ranges) == len(own), f"{own} are not all in the local extra"
    return [*project()["dependencies"], *ranges, *(line for extra in extras for line in optional[extra])]


def compiled(lines: list[str], folder: Path, *options: str) -> str:
    source, target = folder / "given.in", folder / "made.txt"
    target.unlink(missing_ok=True)
    source.write_text("\n".join(lines) + "\n")
    fixed = ["--universal", "--python-version", "3.10", "--no-header", "--no-annotate", "--default-index", PYPI]
    command = ["uv", "pip", "compile", "--quiet", "--no-config", *fixed, *options, str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return target.read_text()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = folder / "every.txt"
        every.write_text(compiled([line for lock in LOCKS for line in requirements(lock)], folder))
        for lock in LOCKS:
            text = compiled(requirements(lock), folder, "--generate-hashes", "--constraint", str(every))
            path_of(lock).write_text(HEAD + text)
        text = compiled(requirements_of(GATES), folder, "--generate-hashes", "--constraint", str(every))
        GATES.with_suffix(".lock").write_text(f"# Made by python -m tests.locks.\n{text}")


if __name__ == "__main__":
    main()
