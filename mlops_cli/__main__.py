"""``mlops`` and ``python -m mlops_cli``. Its imports are few: a Ctrl-C while the others are loaded is no traceback."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)

    from mlops_cli.cli import main as command_line

    command_line()


def _leave(number: int, _frame: FrameType | None) -> None:
    """Nothing has begun yet, so nothing is to be ended."""
    os.write(2, b"error: Interrupted.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
