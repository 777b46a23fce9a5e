"""Python loads this module when it starts scripts, gates and their Python subprocesses. Imports nothing of mlops.

It records in the file MLOPS_READS each path that is opened, looked for, listed or written, once. It also compiles the
project's modules from their sources: Python detects an outdated __pycache__ only by size and time, and both can be
equal.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def _installed_folders() -> tuple[str, ...]:
    """Return the folders of Python and of installed packages, not whole prefixes: projects may lie in a prefix."""
    system = ("/proc/", "/sys/", "/dev/", FOLDER + os.sep)
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return (*(path for prefix in prefixes for path in _installed_below(prefix)), *system)


def _installed_below(prefix: str) -> list[str]:
    """Return the beginnings of installed paths. A virtual environment may be in the project's own folder."""
    if not os.path.exists(os.path.join(prefix, "pyvenv.cfg")):
        return [os.path.join(prefix, name, "") for name in ("lib", "lib64", "bin", "include", "share", "etc")]
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    libraries = [os.path.join(prefix, name, version, "") for name in ("lib", "lib64", "include")]
    return [*libraries, os.path.join(prefix, "bin", "python"), os.path.join(prefix, "pyvenv.cfg")]


def _is_installed(path: str, folders: tuple[str, ...]) -> bool:
    return path.startswith(folders) or PACKAGES[0] in path or PACKAGES[1] in path


def _compile_from_sources(folders: tuple[str, ...]) -> None:
    external: Any = sys.modules["_frozen_importlib_external"]

    original = external.cache_from_source

    def cache_from_source(path: Any, debug_override: bool | None = None, *, optimization: Any = None) -> str:
        path = os.fspath(path)
        if not _is_installed(os.path.abspath(path), folders):
            raise NotImplementedError("modules of the project are compiled from their sources")
        cached = original(path, debug_override, optimization=optimization)
        return os.path.join(os.path.dirname(path), "__pycache__", os.path.basename(cached))

    external.cache_from_source = cache_from_source


def _watch(log: str, folders: tuple[str, ...]) -> None:
    """Record each path once for each use: "r" read, "m" missing, "w" written, "l" listed, "a" a program's argument."""
    recorded: set[tuple[str, str]] = set()
    events = {
        "open", "os.listdir", "os.scandir", "os.rename", "os.link", "os.symlink", "sqlite3.connect",
        "import", "ctypes.dlopen",
    }  # fmt: skip
    programs = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"}
    # These modules list folders to find modules and tests, which are cache inputs anyway.
    finders = ("<frozen importlib", f"{os.sep}_pytest{os.sep}")
    # Bound here, because at the interpreter's end module globals are deleted before the last files are closed.
    writes, both, access = os.O_WRONLY, os.O_RDWR, os.O_ACCMODE
    create, truncate, excluded = os.O_CREAT, os.O_TRUNC, os.O_CREAT | os.O_EXCL
    abspath, exists, fsdecode, fsencode = os.path.abspath, os.path.exists, os.fsdecode, os.fsencode
    isfile, join = os.path.isfile, os.path.join
    open_file, write_file, close_file, frame = os.open, os.write, os.close, sys._getframe

    def usage(event: str, arguments: tuple[Any, ...]) -> tuple[Any, str]:
        if event == "open":
            path, flags = arguments[0], arguments[2] or 0
            if flags & access == writes:
                return path, "w"
            if flags & access == both and (flags & truncate or flags & excluded == excluded):
                return path, "w"
            return path, "r"
        if event in ("os.rename", "os.link", "os.symlink"):
            return arguments[1], "w"
        if event == "sqlite3.connect":
            return arguments[0], "r"
        if event == "import":  # the event names a file only for a compiled module, which is loaded but not opened
            return arguments[1], ("r" if arguments[1] else "")
        if event == "ctypes.dlopen":  # a name without a folder is a system library
            return arguments[0], ("r" if arguments[0] and os.sep in fsdecode(arguments[0]) else "")
        caller = frame(2).f_code.co_filename
        return (arguments[0] or "."), ("" if finders[0] in caller or finders[1] in caller else "l")

    def record(path: Any, use: str) -> None:
        if not use or isinstance(path, int):
            return
        path = abspath(fsdecode(path))
        if path == log or (path, use) in recorded or _is_installed(path, folders):
            return
        recorded.add((path, use))
        letter = "m" if use == "r" and not exists(path) else use
        file = open_file(log, writes | create | os.O_APPEND, 0o644)
        try:
            write_file(file, fsencode(letter + path) + b"\0")
        finally:
            close_file(file)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        try:
            if event in events:
                record(*usage(event, arguments))
            elif event in programs:
                folder, names = _named_files(event, arguments)
                for name in names:
                    if isfile(join(folder, name)):
                        record(join(folder, name), "a")
        except (OSError, ValueError, TypeError, AttributeError):
            return  # a script must not fail because of this record

    sys.addaudithook(hook)


def _named_files(event: str, arguments: tuple[Any, ...]) -> tuple[str, list[str]]:
    """Return a program's folder and the words of its command line. The files that it reads itself are not recorded."""
    line = arguments[0 if event == "os.system" else 1]
    folder = os.fsdecode(arguments[2] or "") if event == "subprocess.Popen" else ""
    parts = [line] if isinstance(line, (str, bytes, os.PathLike)) else list(line)
    words: list[str] = []
    for part in map(os.fsdecode, parts):
        words.append(part)
        for mark in "=;|&<>()'\"\n\t":
            part = part.replace(mark, " ")
        words += part.split(" ")
    return folder, [word for word in dict.fromkeys(words) if word and len(word) < 4096 and "\0" not in word]


def _give_way() -> None:
    """Load the other sitecustomize module that this one hides, if there is one."""
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != FOLDER]
    own = sys.modules.pop("sitecustomize", None)
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)
        sys.path.append(FOLDER)


_folders = _installed_folders()
_compile_from_sources(_folders)
if os.environ.get("MLOPS_READS"):
    _watch(os.path.abspath(os.environ["MLOPS_READS"]), _folders)
_give_way()
