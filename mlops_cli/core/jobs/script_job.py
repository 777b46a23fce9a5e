"""A job as data: one script, its hyperparameters and folders, and the process that runs it. No IO.

The contract is SageMaker's script mode: hyperparameters on the command line, sorted by name; SM_* in the environment of
a training job (script_mode.py); only folders for a processing job.
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_cli.core.stages import DATA, FIRST_INPUT, Kind, Stage
from mlops_cli.errors import MlopsError
from mlops_cli.files.json_text import parse_json

# The folder for checkpoints of a training script. It is kept after the job, so an interrupted job can continue.
CHECKPOINT_VARIABLE = "SM_CHECKPOINT_DIR"
# At the beginning of a line, or directly after a progress bar without a line end.
PROGRESS = re.compile(r"(?:^|(?<=[^\s\w-])|(?<=\d))progress (\d+)/(\d+)(?: (.*))?$")


@dataclass(frozen=True)
class ScriptJob:
    """``channels``: the input folders by name. ``output``: the folder of everything that the job writes."""

    name: str
    kind: Kind
    script: Path
    output: Path
    channels: Mapping[str, Path] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The hyperparameters as command-line arguments."""
        return named_arguments(self.hyperparameters)

    @property
    def model_folder(self) -> Path:
        return self.output / "model"

    @property
    def data_folder(self) -> Path:
        return self.output / "output"


def named_arguments(values: Mapping[str, Any]) -> list[str]:
    """Return values as options of a script, sorted by name. A name of one letter has one dash."""
    pairs = [(name, str(value)) for name, value in sorted(values.items())]
    return [part for name, text in pairs for part in (f"--{name}" if len(name) > 1 else f"-{name}", text)]


def describe_exit(code: int) -> str:
    """Return in words how a process ended."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def command_line(job: ScriptJob, python: str) -> list[str]:
    """Return the command line that runs the job as a plain process."""
    argv = [python, job.script.name]
    if job.kind is Kind.PROCESSING:
        for name, folder in job.channels.items():
            argv += ["--input-dir" if name == FIRST_INPUT else f"--input-dir-{name}", str(folder)]
        argv += ["--output-dir", str(job.output)]
    return argv + job.arguments


def input_channels(stage: Stage, folders_of: Callable[[str], Iterable[str]]) -> dict[str, tuple[str, str]]:
    """Return a job's channels: the source of each, and the folder in it ("" for the whole source).

    If the first input of a training is a stage's output, each folder in it is a channel. Any other input is one
    channel. Raise MlopsError if two channels have one name.
    """
    channels: dict[str, tuple[str, str]] = {}
    for name, source in stage.folders.items():
        added = {name: (source, "")}
        if stage.kind is Kind.TRAINING and name == FIRST_INPUT and source != DATA:
            added = {folder: (source, folder) for folder in sorted(folders_of(source)) if folder.isidentifier()}
        if same := channels.keys() & added.keys():
            raise MlopsError(
                f"Two inputs of {stage.name} have a channel {min(same)!r}.",
                f"Let {stage.folders[FIRST_INPUT]} write another folder, or rename a stage.",
            )
        channels |= added
    return channels


def progress_in(line: str) -> tuple[int, int, str] | None:
    """Return done, total and message of a line "progress 3/10 message"."""
    match = PROGRESS.search(line)
    return (int(match[1]), int(match[2]), match[3] or "") if match else None


def parse_json_output(text: str) -> dict[str, Any]:
    """Return the content of a JSON file that a script wrote. Raise ValueError for malformed JSON."""
    text = text.removeprefix("\ufeff")
    # NaN, Infinity and 1e999 are not JSON and would pass comparisons wrongly, so they become null. In the metrics they
    # stay as text, so that the approver sees them.
    content = parse_json(text, parse_constant=lambda _: None, parse_float=_finite)
    if not isinstance(content, dict):
        return {"content": content}
    written = parse_json(text, parse_constant=str, parse_float=_finite_or_text)
    return {**content, "metrics": written["metrics"]} if "metrics" in content else content


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _finite_or_text(digits: str) -> float | str:
    value = _finite(digits)
    return digits if value is None else value
