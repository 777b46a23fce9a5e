"""A signal during an uninterruptible call raises KeyboardInterrupt after it; no clean-up error hides it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mlops_cli.files.atomic import remove_tree
from mlops_cli.processes import interruption
from mlops_cli.processes.parallel import call_in_threads


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {sign: signal.getsignal(sign) for sign in interruption.ENDING}
    interruption.interrupt_on_signals()
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


def test_a_call_ends_before_the_interruption() -> None:
    steps = []

    def call() -> None:
        signal.raise_signal(signal.SIGHUP)
        steps.append("ended")

    with pytest.raises(KeyboardInterrupt):
        interruption.uninterrupted(call)
    assert steps == ["ended"]
    assert interruption.exit_code() == 129
    assert interruption.uninterrupted(lambda: 7) == 7, "the signal has been handled"


def test_a_signal_that_interrupts_the_closing_of_a_folder_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard library then closes the folder twice."""
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    close = os.close

    def interrupted(descriptor: int) -> None:
        monkeypatch.undo()
        close(descriptor)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(shutil.os, "close", interrupted)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        remove_tree(tmp_path / "folder")
    remove_tree(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


class Interrupter:
    """Raises a signal at the n-th executed line of the standard library's threads and pools."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        is_in_pool = frame.f_code.co_filename.endswith(("threading.py", "thread.py", "_base.py", "queue.py"))
        if not is_in_pool or frame.f_code.co_name == "weakref_cb":  # Python drops what a weak reference's call raises
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return self


def test_a_signal_at_any_step_of_calls_in_threads_is_an_interruption() -> None:
    for line in (*range(1, 400, 3), 100_000):
        interrupter = Interrupter(line)
        sys.settrace(interrupter)
        try:
            results = call_in_threads(lambda number: number + 1, range(8), 3)
        except KeyboardInterrupt:
            results = []
        finally:
            sys.settrace(None)
        assert results == ([] if interrupter.left <= 0 else list(range(1, 9))), line


def test_of_failed_calls_in_threads_the_first_is_raised() -> None:
    def call(number: int) -> int:
        if number > 2:
            raise ValueError(number)
        return number

    assert call_in_threads(call, range(3), 2) == [0, 1, 2]
    assert call_in_threads(call, [], 2) == []
    with pytest.raises(ValueError, match=r"^3$"):
        call_in_threads(call, range(6), 2)
