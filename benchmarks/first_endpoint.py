"""Measure the time and the disk space from nothing but Python to a tested endpoint.

    python -m benchmarks.first_endpoint --framework sklearn

In an empty folder: a virtual environment with mlops and the framework's extra, `init`, `quickstart`, `test-endpoint`,
`cleanup`. pip uses its cache or the network, as configured. Prints a Markdown table. Exits with 1 above
``--most-seconds`` or ``--most-mb``, if given. The sum does not include `cleanup`.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def run(command: list[str | Path], folder: Path) -> float:
    """Return the seconds of a command. If it fails, exit with its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def measure(folder: Path, framework: str) -> tuple[dict[str, float], float]:
    """Return the seconds of each step, and the megabytes of the environment."""
    environment, project = folder / "venv", folder / "churn"
    os.environ["ENDPOINT_PORT"] = str(free_port())
    mlops = environment / "bin" / "mlops"
    seconds = {
        "virtual environment": run([sys.executable, "-m", "venv", environment], folder),
        "pip install": run([environment / "bin" / "pip", "install", "-q", f"{ROOT}[{framework}]"], folder),
        "init": run([mlops, "init", "churn", "--framework", framework], folder),
        "quickstart": run([mlops, "quickstart", "--yes"], project),
        "test-endpoint": run([mlops, "test-endpoint"], project),
    }
    size = megabytes(environment)
    run([mlops, "cleanup", "--yes"], project)
    return seconds, size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--framework", default="sklearn")
    parser.add_argument("--most-seconds", type=float, default=float("inf"))
    parser.add_argument("--most-mb", type=float, default=float("inf"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, size = measure(Path(folder), arguments.framework)
    print("| step | seconds |\n|---|---:|")
    for step, taken in seconds.items():
        print(f"| {step} | {taken:.1f} |")
    print(f"| all | {sum(seconds.values()):.1f} |\n\n{size:.0f} MB in the virtual environment")
    return int(sum(seconds.values()) > arguments.most_seconds or size > arguments.most_mb)


if __name__ == "__main__":
    sys.exit(main())
