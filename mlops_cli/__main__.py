"""Run ``mlops`` or ``python -m mlops_cli``, and connect the command line to the targets.

Import little here: Ctrl-C during the other imports must not print a traceback.
"""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType

# The garbage collector starts after this number of new objects: commands leave little garbage, but import many modules.
COLLECTED_AT = 50_000


def main() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)

    gc.disable()  # modules are never garbage: searching them takes a tenth of the start
    from mlops_cli import backends
    from mlops_cli.cli import main as command_line

    gc.freeze()
    gc.set_threshold(COLLECTED_AT)
    gc.enable()
    command_line(backends)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Exit at once: no command has started yet."""
    os.write(2, b"error: Interrupted.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
