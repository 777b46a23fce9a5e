"""The state of each source at the download, and its comparison with the present state."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from mlops_cli.data.metadata import read_dataset_info
from mlops_cli.data.objects import ObjectStore
from mlops_cli.data.sources.catalog import state_of
from mlops_cli.data.sources.source import State
from mlops_cli.errors import MlopsError

# The longest time that a command waits for the servers of its sources.
PATIENCE_SECONDS = 2.0


class SourceCheck:
    """Compares a dataset's sources with their present state, in the background of a command."""

    def __init__(self, folder: Path, known_urls: Sequence[str], objects: ObjectStore | None = None) -> None:
        """``known_urls``: addresses in the project itself. ``objects``: reads from S3."""
        self._objects = objects
        self._changed: list[str] = []
        self.sources: list[str] = []
        self._thread = threading.Thread(target=self._ask, args=(folder, list(known_urls)), daemon=True)
        self._thread.start()

    def _ask(self, folder: Path, known_urls: Sequence[str]) -> None:
        # An error of this background check must not fail the command.
        with contextlib.suppress(MlopsError, OSError, ValueError, KeyError, TypeError, AttributeError):
            origins = (read_dataset_info(folder) or {}).get("origins", [])
            self.sources = [str(origin["shown"]) for origin in origins]
            for origin in origins:
                if state_of(origin, known_urls, PATIENCE_SECONDS, self._objects) is State.CHANGED:
                    self._changed.append(origin["shown"])

    def changed(self, seconds: float = PATIENCE_SECONDS) -> list[str]:
        """Return the sources that have changed, after a wait of at most ``seconds``."""
        self._thread.join(seconds)
        return list(self._changed)
