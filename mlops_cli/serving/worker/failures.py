"""Describe an exception of a model package's functions: its type, its message, and its place in the package."""

from __future__ import annotations

import traceback
from pathlib import Path

import falcon


def describe(error: BaseException) -> str:
    """Return the exception in one line, with the last line of the package's code in its traceback.

    The original exception says more than the container's error response.
    """
    if isinstance(error, falcon.HTTPError):
        cause = error.__cause__
        return describe(cause) if cause is not None else _one_line(f"{error.status} {error.description or ''}")
    return _one_line(f"{type(error).__name__}: {error}") + _code_line(error)


def _code_line(error: BaseException) -> str:
    frames = [
        (name, frame)
        for frame in traceback.extract_tb(error.__traceback__)
        if (name := _name_in_package(Path(frame.filename)))
    ]
    if not frames:
        return ""
    name, last = frames[-1]
    functions = [frame.name for _, frame in frames if not frame.name.startswith("<")]
    return f" ({name}, line {last.lineno}{f', in {functions[-1]}' if functions else ''})"


def _name_in_package(path: Path) -> str:
    """Return the file's name in its model package; empty for a file of another program."""
    folders = (folder for folder in path.parents if folder.name == "code" and (folder / "inference.py").is_file())
    code = next(folders, None)
    name = path.relative_to(code.parent).as_posix() if code else ""
    return "" if "/site-packages/" in name else name


def _one_line(text: str) -> str:
    return " ".join(text.split())
