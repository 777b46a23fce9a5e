"""Following a log while a script writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlops_cli.backends.local.runs.logs import tail


def test_a_line_is_shown_when_its_end_is_written(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("one\ntest_rows ")

    def write() -> Iterator[bool]:
        yield False
        with path.open("a") as file:
            file.write("PASSED\nno end")
        yield True

    states = write()
    assert list(tail(path, lambda: next(states))) == ["one", "test_rows PASSED", "no end"]
