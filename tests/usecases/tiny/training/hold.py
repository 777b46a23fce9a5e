"""Lets a test stop a stage in the middle: it holds for as long as the file hold-NAME stands beside the scripts."""

import time
from pathlib import Path

FOLDER = Path(__file__).parent


def hold(name: str) -> None:
    (FOLDER / f"reached-{name}").touch()
    while (FOLDER / f"hold-{name}").exists():
        time.sleep(0.02)
