"""What ends a command from outside: Ctrl-C, `kill`, a closed terminal. All of them unwind it in the same way."""

from __future__ import annotations

import signal
import threading
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received = signal.SIGINT


def obey() -> None:
    """Let each of these signals raise KeyboardInterrupt; one that the caller ignores, as nohup does, stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    for sign in ENDING:
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, _interrupt)


def exit_code() -> int:
    """Return 128 and the number of the signal that came last, as a shell gives it."""
    return 128 + _received


def _interrupt(number: int, _frame: FrameType | None) -> None:
    global _received
    _received = signal.Signals(number)
    raise KeyboardInterrupt
