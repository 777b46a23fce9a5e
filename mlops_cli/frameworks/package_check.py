"""Check, without running it, whether the container of its framework can serve a model package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.files.tar_archives import entries, open_tar
from mlops_cli.frameworks.base import Framework

INFERENCE = "code/inference.py"
LONGEST_SCRIPT = 4 << 20  # far above any real one; its syntax tree takes many times its bytes
NO_HANDLERS = f"the model package has no {INFERENCE}: pack_code() in train.py adds it"
PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth")
UNSERVABLE = "The trained model cannot be served"
# The detail of a training.
UNSAFE_FILES = "unsafe_files"
# The same of the trial of its model: the job on AWS; the answer to the examples, or why there was none.
TRIAL_JOB, TRIAL_ANSWER, UNTRIED = "trial_job", "trial_answer", "untried"
PARTS = ("input_fn", "predict_fn", "output_fn")


def pickles(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the entry in a training's detail for files that may run code when loaded; {} if there are none."""
    unsafe = sorted(name for name in names if name.endswith(PICKLES))
    return {UNSAFE_FILES: unsafe} if unsafe else {}


def obstacle(package: Path, framework: Framework) -> str:
    """Return why the package (a model.tar.gz) cannot be served; empty if no reason is known."""
    try:
        with open_tar(package) as archive:
            members = {member.name.removeprefix("./"): member for member in entries(archive) if member.isfile()}
            script = archive.extractfile(members[INFERENCE]) if INFERENCE in members else None
            source = script.read(LONGEST_SCRIPT + 1) if script else b""
    except MlopsError as error:
        return error.message
    if not framework.uses_handlers:
        has_model = any(re.fullmatch(r"\d+/saved_model\.pb", name) for name in members)
        return "" if has_model else "the model package has no version folder with a saved_model.pb (expected 1/)"
    if len(source) > LONGEST_SCRIPT:
        return f"{INFERENCE} has more than {LONGEST_SCRIPT:,} bytes"
    try:
        names = set(_top_level_names(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"{INFERENCE} is not valid Python: {error}"
    missing = [name for name in _required(framework, names) if name not in names]
    if not missing or "*" in names:
        return ""
    ending = "" if script else f"; {NO_HANDLERS}"
    return f"{INFERENCE} must define {' and '.join(missing)}: {framework.title} has no default for it{ending}"


def _required(framework: Framework, names: set[str]) -> list[str]:
    parts = () if "transform_fn" in names else PARTS
    return [name for name in ("model_fn", *parts) if getattr(framework, name) is None]


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module defines, also inside ``if`` and ``try``; "*" for an import of everything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
