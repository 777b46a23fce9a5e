"""Measure whole commands side by side: separate environments, alternating repeats, medians and ratios."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CACHE = Path(tempfile.gettempdir()) / "mlops-benchmarks"


@dataclass
class Contender:
    """``prepare`` runs before every measured call and is not measured."""

    name: str
    command: Sequence[str]
    folder: Path
    prepare: Callable[[], object] = lambda: None
    environment: dict[str, str] = field(default_factory=dict)


def environment(name: str, *requirements: str) -> Path:
    """Return the bin folder of an environment with these packages. Create it once."""
    folder = CACHE / name
    if not (folder / "ready").exists():
        print(f"making the environment of {name} ...", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile", *requirements]
        if subprocess.run(pip, stdout=sys.stderr).returncode:
            raise SystemExit(f"{' '.join(requirements)} could not be installed: is a package index within reach?")
        (folder / "ready").touch()
    return folder / "bin"


def seconds(contender: Contender) -> float:
    """Return the seconds of one call. A failing command fails the benchmark."""
    contender.prepare()
    # The compared tools may keep compiled modules, as in normal use.
    env = {**os.environ, **contender.environment, "PYTHONDONTWRITEBYTECODE": ""}
    started = time.perf_counter()
    done = subprocess.run(contender.command, cwd=contender.folder, env=env, capture_output=True, text=True)
    took = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{contender.name}: {' '.join(contender.command)} failed\n{done.stdout}\n{done.stderr}")
    return took


def medians(contenders: Sequence[Contender], repeats: int) -> dict[str, float]:
    """Return the median seconds by name. The contenders alternate, after one round that is not counted."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(repeats + 1):
        for contender in contenders:
            took = seconds(contender)
            if turn:
                times[contender.name].append(took)
    return {name: statistics.median(values) for name, values in times.items()}


def table(title: str, columns: Sequence[str], rows: dict[str, Sequence[str]]) -> str:
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return "\n".join(lines)


def machine() -> str:
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {load:.1f}"
