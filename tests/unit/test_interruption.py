"""A signal raises KeyboardInterrupt behind a call that must not be cut; no error of its clean-up hides it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.files.atomic import remove_tree
from mlops_cli.processes import interruption


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
