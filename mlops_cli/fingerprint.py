"""What a stage is made from, by name, so that the cache key tells the truth and can be explained."""

from __future__ import annotations

import ast
import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlops_cli.digest import digest_bytes
from mlops_cli.errors import ConfigurationError


def digest_of(ingredients: Mapping[str, str]) -> str:
    """One digest for all ingredients together, whatever their order."""
    return digest_bytes(json.dumps(dict(ingredients), sort_keys=True).encode())


def code_ingredients(script: Path, known: MutableMapping[str, list[str]], packs: Sequence[str] = ()) -> dict[str, str]:
    """The sources of a script that runs in this very environment, the interpreter, and its packages' versions."""
    root = _root(script)
    sources = _closure([script], root, known)
    names = {name for source in sources for name in source.imports}
    third_party = sorted(name for name in names if _is_third_party(name, root))
    return {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}",
        **source_ingredients(script, known, packs),
        **{f"package {name}": installed_version(name) for name in third_party},
    }


def source_ingredients(
    script: Path, known: MutableMapping[str, list[str]], packs: Sequence[str] = ()
) -> dict[str, str]:
    """The script and every module of its project that it imports, found without running it.

    The same of the scripts beside it that it ``packs``: it does not run them, but what it makes has them in it.
    ``known`` holds what files import by the digest of their content, and takes in what had to be read anew.
    Raises ConfigurationError if the script is missing or is not valid Python.
    """
    root = _root(script)
    packed = [root / name for name in packs if (root / name).is_file()]
    sources = _closure([script, *packed], root, known)
    return {f"training/{source.path.relative_to(root).as_posix()}": source.digest for source in sources}


def _root(script: Path) -> Path:
    return script.parent.parent if script.parent.name == "tests" else script.parent


@dataclass(frozen=True)
class _Source:
    path: Path
    digest: str
    imports: list[str]


def _closure(scripts: list[Path], root: Path, known: MutableMapping[str, list[str]]) -> list[_Source]:
    conftests = [file for script in scripts for file in _conftests(script, root)]
    waiting, found = [*scripts, *conftests], dict[Path, _Source]()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = _read(path, known)
            waiting.extend(file for name in found[path].imports for file in _project_files(name, path.parent, root))
    return [found[path] for path in sorted(found)]


def _conftests(script: Path, root: Path) -> list[Path]:
    """pytest loads these for a gate without an import statement."""
    return [path for path in {root / "conftest.py", script.parent / "conftest.py"} if path.is_file()]


def _project_files(name: str, folder: Path, root: Path) -> Iterator[Path]:
    """The project's own files that importing ``name`` loads: the module, or all of its package."""
    for base in {folder, root}:
        if (base / f"{name}.py").is_file():
            yield base / f"{name}.py"
        if (base / name).is_dir():
            yield from (base / name).rglob("*.py")


def _read(path: Path, known: MutableMapping[str, list[str]]) -> _Source:
    try:
        content = path.read_bytes()
        digest = digest_bytes(content)
        if digest not in known:
            known[digest] = _imports_of(ast.parse(content, str(path)))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing.", "Put it back, then: mlops run") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"{path} is not valid Python: {error}.", "Fix it, then: mlops run") from None
    return _Source(path, digest, known[digest])


def _imports_of(tree: ast.Module) -> list[str]:
    """The top-level names that a file imports, wherever in it the import stands."""
    names: set[str] = set()
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            names.update(alias.name.split(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            module = statement.module
            names.update([module.split(".")[0]] if module else [alias.name for alias in statement.names])
    return sorted(names)


def _is_third_party(name: str, root: Path) -> bool:
    ours = (root / f"{name}.py").is_file() or (root / name).is_dir() or (root / "tests" / f"{name}.py").is_file()
    return not ours and name not in sys.stdlib_module_names


@cache
def installed_version(name: str) -> str:
    """ "distribution version" of what ``import name`` gives here, or "not installed".

    Looks at folder names first, then at top_level.txt, last at lists of files: importlib.metadata would parse every
    package's metadata, which takes longer than all else that an unchanged run does.
    """
    infos = _distributions()
    if name.lower() in infos:
        return _label(infos[name.lower()])
    for provides in (_top_level, _recorded):
        found = next((info for info in infos.values() if name in provides(info)), None)
        if found:
            return _label(found)
    return "not installed"


@cache
def _distributions() -> dict[str, Path]:
    """The .dist-info folders beside this interpreter, by their package's name."""
    folders = [Path(folder) for folder in reversed(sys.path) if Path(folder).is_dir()]
    return {info.name.partition("-")[0].lower(): info for folder in folders for info in folder.glob("*.dist-info")}


def _label(info: Path) -> str:
    name, _, version = info.name.removesuffix(".dist-info").partition("-")
    return f"{name} {version}"


def _top_level(info: Path) -> list[str]:
    file = info / "top_level.txt"
    return file.read_text().split() if file.is_file() else []


def _recorded(info: Path) -> set[str]:
    """The first folders of the files that a package installed."""
    file = info / "RECORD"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {re.split(r"[/,]", line, maxsplit=1)[0].removesuffix(".py") for line in lines}
