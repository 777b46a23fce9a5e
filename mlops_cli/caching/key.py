"""The inputs of a stage's code, by name, so that the cache key is complete and can be explained."""

from __future__ import annotations

import ast
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_cli.caching.package_versions import package_inputs, source_files
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.hashing import digest_bytes, digest_file


def code_inputs(
    script: Path,
    imports_by_digest: MutableMapping[str, list[str]],
    packs: Sequence[str] = (),
    digest: Callable[[Path], str] = digest_file,
) -> dict[str, str]:
    """Return the sources of a script that runs in this environment, the interpreter, and its packages."""
    root = training_of(script)
    sources = Sources(root, imports_by_digest)
    own = sources.of([script, *_packed(root, packs)])
    # The packages of packed scripts are not needed here: they run elsewhere.
    needed = {name for path in sources.of([script]) for name in sources.read(path).imports}
    packages = third_party(needed, root, imports_by_digest)
    return {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}",
        **_named(own, root),
        **{name: value for package in packages for name, value in package_inputs(package, digest).items()},
    }


def source_inputs(
    script: Path, imports_by_digest: MutableMapping[str, list[str]], packs: Sequence[str] = ()
) -> dict[str, str]:
    """Return the script and every module of its project that it imports, found without running it.

    The scripts in ``packs`` count the same: the script does not run them, but its output contains them.
    ``imports_by_digest`` holds the imports of files by their digest; newly read files are added to it. Raise
    ConfigurationError if the script is missing or is not valid Python.
    """
    root = training_of(script)
    return _named(Sources(root, imports_by_digest).of([script, *_packed(root, packs)]), root)


def training_of(script: Path) -> Path:
    """Return the training folder of a script or a gate."""
    return script.parent.parent if script.parent.name == "tests" else script.parent


def _packed(root: Path, packs: Sequence[str]) -> list[Path]:
    return [root / name for name in packs if (root / name).is_file()]


def _named(sources: Mapping[Path, Source], root: Path) -> dict[str, str]:
    return {f"training/{path.relative_to(root).as_posix()}": source.digest for path, source in sources.items()}


def third_party(names: Iterable[str], root: Path, imports_by_digest: MutableMapping[str, list[str]]) -> list[str]:
    """Return the packages among the names, and the packages that those installed from a folder import themselves."""
    sources, packages, waiting = Sources(root, imports_by_digest), set[str](), set(names)
    while waiting:
        name = waiting.pop()
        if name in packages or not _is_third_party(name, root):
            continue
        packages.add(name)
        waiting.update(more for path in source_files(name) for more in sources.peek(path))
    return sorted(packages)


@dataclass(frozen=True)
class Source:
    digest: str
    imports: list[str]


@dataclass
class Sources:
    """Modules below ``root`` and their imports; each file is read once."""

    root: Path
    imports_by_digest: MutableMapping[str, list[str]]
    _read: dict[Path, Source] = field(default_factory=dict)

    def of(self, scripts: list[Path]) -> dict[Path, Source]:
        """Return the scripts and all modules of the project that they import, sorted by path."""
        conftests = [file for script in scripts for file in _conftest_files(script, self.root)]
        waiting, sources = [*scripts, *conftests], dict[Path, Source]()
        while waiting:
            path = waiting.pop()
            if path not in sources:
                sources[path] = self.read(path)
                names = sources[path].imports
                waiting.extend(file for name in names for file in _project_files(name, path.parent, self.root))
        return dict(sorted(sources.items()))

    def read(self, path: Path) -> Source:
        if path not in self._read:
            self._read[path] = _read(path, self.imports_by_digest)
        return self._read[path]

    def peek(self, path: Path) -> list[str]:
        """Return the imports of a package's module; none if it is no valid Python for this version."""
        try:
            return self.read(path).imports
        except ConfigurationError:
            return []


def _conftest_files(script: Path, root: Path) -> list[Path]:
    """Return the conftest.py files of a gate: pytest loads them without an import statement."""
    if script.parent == root:
        return []
    return [path for path in {root / "conftest.py", script.parent / "conftest.py"} if path.is_file()]


def _project_files(name: str, folder: Path, root: Path) -> Iterator[Path]:
    """Yield the project's own files that importing ``name`` loads: the module, or all of its package."""
    for base in {folder, root}:
        if (base / f"{name}.py").is_file():
            yield base / f"{name}.py"
        if (base / name).is_dir():
            yield from _modules(base / name, frozenset())


def _modules(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yield all modules below a folder, through links, too."""
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


def _is_third_party(name: str, root: Path) -> bool:
    ours = (root / f"{name}.py").is_file() or (root / name).is_dir() or (root / "tests" / f"{name}.py").is_file()
    return not ours and name not in sys.stdlib_module_names
