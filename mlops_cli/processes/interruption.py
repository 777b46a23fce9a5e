"""Signals that end a command: Ctrl-C, `kill`, a closed terminal. All of them raise the same exception."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Result = TypeVar("Result")

_received = signal.SIGINT
_is_deferring = False
_is_deferred = False


def interrupt_on_signals() -> None:
    """Raise KeyboardInterrupt for each of these signals. A signal that the caller ignores (nohup) stays ignored."""
    _handle_signals(_interrupt)


def exit_on_signals() -> None:
    """Let each of these signals end the process at once, because its command has finished."""
    _handle_signals(_exit)


def uninterrupted(call: Callable[[], Result]) -> Result:
    """Return the result of a very short call. A signal during the call raises KeyboardInterrupt after it.

    KeyboardInterrupt may be raised between any two steps of Python code. In code that holds a lock, the lock may then
    stay locked, and the clean-up waits for it forever. ``subprocess.Popen.poll`` is such code.
    """
    global _is_deferring, _is_deferred
    if threading.current_thread() is not threading.main_thread():
        return call()
    try:
        _is_deferring = True
        return call()
    finally:
        _is_deferring = False
        if _is_deferred:
            _is_deferred = False
            raise KeyboardInterrupt


def exit_code() -> int:
    """Return 128 plus the number of the last signal, as a shell does."""
    return 128 + _received


def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for sign in ENDING:
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    global _received, _is_deferred
    _received = signal.Signals(number)
    _is_deferred = _is_deferring
    if not _is_deferring:
        raise KeyboardInterrupt


def _exit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
