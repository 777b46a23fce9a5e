"""The modules of a project and their imports, read without running them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_cli.errors import ConfigurationError
from mlops_cli.files.hashing import digest_bytes


@dataclass(frozen=True)
class Source:
    digest: str
    imports: list[str]


@dataclass
class Sources:
    """The modules below ``root`` and in the folders ``code``, and their imports. Each file is read once."""

    root: Path
    imports_by_digest: MutableMapping[str, list[str]]
    code: Sequence[Path] = ()
    _read: dict[Path, Source] = field(default_factory=dict)

    def of(self, scripts: list[Path], valid_only: bool = True) -> dict[Path, Source]:
        """Return the scripts and all modules of the project that they import, sorted by path.

        Raise ConfigurationError for a file that is not valid Python, unless invalid files count as files without
        imports.
        """
        conftests = [file for script in scripts for file in _conftest_files(script, self.root)]
        waiting, sources = [*scripts, *conftests], dict[Path, Source]()
        while waiting:
            path = waiting.pop()
            if path not in sources:
                sources[path] = self.read(path) if valid_only else self._read_any(path)
                names = sources[path].imports
                folders = dict.fromkeys((path.parent, self.root, *self.code))
                waiting.extend(file for name in names for file in _project_files(name, folders))
        return dict(sorted(sources.items()))

    def read(self, path: Path) -> Source:
        if path not in self._read:
            self._read[path] = _read(path, self.imports_by_digest)
        return self._read[path]

    def _read_any(self, path: Path) -> Source:
        try:
            return self.read(path)
        except ConfigurationError:
            return Source("", [])

    def peek(self, path: Path) -> list[str]:
        """Return the imports of a package's module; none if it is not valid Python for this version."""
        return self._read_any(path).imports


def _conftest_files(script: Path, root: Path) -> list[Path]:
    """Return the conftest.py files of a gate: pytest loads them without an import statement."""
    if script.parent == root:
        return []
    return [path for path in {root / "conftest.py", script.parent / "conftest.py"} if path.is_file()]


def _project_files(name: str, folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the project's own files that importing ``name`` loads: the module, or its whole package."""
    for base in folders:
        if (base / f"{name}.py").is_file():
            yield base / f"{name}.py"
        if (base / name).is_dir():
            yield from _modules(base / name, frozenset())


def _modules(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yield all modules below a folder. Follow links."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _modules(path, above | {real})
        elif path.suffix == ".py" and path.is_file():
            yield path


def _read(path: Path, imports_by_digest: MutableMapping[str, list[str]]) -> Source:
    try:
        content = path.read_bytes()
        digest = digest_bytes(content)
        if digest not in imports_by_digest:
            imports_by_digest[digest] = _imports_of(ast.parse(content, str(path)))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing.", "Restore it, then: mlops run") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"{path} is not valid Python: {error}.", "Fix it, then: mlops run") from None
    return Source(digest, imports_by_digest[digest])


def _imports_of(tree: ast.Module) -> list[str]:
    """Return the top-level names that a file imports anywhere, by statement or by name."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update([node.module.split(".")[0]] if node.module else [alias.name for alias in node.names])
        elif isinstance(node, ast.Call):
            names.update(_imported_by_name(node))
    return sorted(names)


def _imported_by_name(call: ast.Call) -> Iterator[str]:
    """Yield the module that importlib.import_module("name") or __import__("name") loads."""
    function = call.func
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    argument = call.args[0] if call.args else None
    if name in ("import_module", "__import__", "run_module") and isinstance(argument, ast.Constant):
        text = str(argument.value).lstrip(".").split(".")[0]
        if text.isidentifier():
            yield text
