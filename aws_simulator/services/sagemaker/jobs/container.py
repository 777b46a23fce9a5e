"""The Python of a job's container: this machine's, or only the packages of an image with known content."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aws_simulator.services.codebuild import image as environments
from aws_simulator.services.sagemaker.images import ADDRESS

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator


def commands(simulator: Simulator, image: str, folder: Path, requirements: Sequence[str]) -> Path:
    """Return the folder with the container's python. ``requirements`` are installed in it in addition."""
    address = ADDRESS.fullmatch(image)
    content = simulator.images.get(address["name"].rpartition("/")[2]) if address else None
    if content is None:
        return Path(sys.executable).parent
    linked = environments.packages(simulator.folder / "images", None, {*content, *requirements})
    return environments.make(folder / "python", linked)
