"""Signals that end a command: Ctrl-C, `kill`, a closed terminal. All of them unwind it in the same way."""

from __future__ import annotations

import signal
import threading
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received = signal.SIGINT


def interrupt_on_signals() -> None:
    """Let each of these signals raise KeyboardInterrupt; a signal that the caller ignores (nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    for sign in ENDING:
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, _interrupt)


def exit_code() -> int:
    """Return 128 plus the number of the last signal, as a shell does."""
    return 128 + _received


def _interrupt(number: int, _frame: FrameType | None) -> None:
    global _received
    _received = signal.Signals(number)
    raise KeyboardInterrupt
