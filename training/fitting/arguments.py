"""The command line of train.py: SageMaker's folders, as options or SM_* variables, and the hyperparameters."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from common import usecase
from common.hyperparameters import Hyperparameters, add_arguments
from model.calibration import read_rates

FOLDERS = {
    "train": "SM_CHANNEL_TRAIN",
    "validation": "SM_CHANNEL_VALIDATION",
    "test": "SM_CHANNEL_TEST",
    "model": "SM_MODEL_DIR",
    "output": "SM_OUTPUT_DATA_DIR",
}


def parse(arguments: list[str], description: str | None) -> tuple[Hyperparameters, dict[str, Path], Path | None]:
    """Return the hyperparameters, the folders by the names in FOLDERS, and the folder of the checkpoints."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--NAME VALUE ...]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, variable in FOLDERS.items():
        preset = os.environ.get(variable)
        help_text = f"default: {variable}"
        parser.add_argument(f"--{name}-dir", type=Path, default=preset, required=not preset, help=help_text)
    checkpoints = os.environ.get("SM_CHECKPOINT_DIR")
    parser.add_argument("--checkpoint-dir", type=Path, default=checkpoints, help="default: SM_CHECKPOINT_DIR, or none")
    add_arguments(parser)
    values = vars(parser.parse_args(arguments))
    folders = {name: values.pop(f"{name}_dir") for name in FOLDERS}
    try:
        read_rates(values["base_rates"], usecase.labels())
    except ValueError as error:
        parser.error(f"argument --base_rates: {error}")
    checkpoint_folder = values.pop("checkpoint_dir")
    return Hyperparameters(**values), folders, checkpoint_folder
