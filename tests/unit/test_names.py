"""Each thing has one name: words that the glossary has replaced are not used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mlops_cli"
TEMPLATES = sorted((ROOT / "templates").glob("*.y*ml"))
PAGES = sorted([ROOT / "README.md", ROOT / ".env.example", *(ROOT / "docs").rglob("*.md"), *TEMPLATES])
STARTER = PACKAGE / "project" / "scaffold" / "starter"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if STARTER not in path.parents)

# Not even as a part of a name.
WORDS = frozenset(
    """
    appraisal bearers begun belonging bench conclude crew decidable decider demanding errand examination examine
    facts freely furthest holdings ingredient ingredients inquiry judge mend mistakes observability orders parcel probe
    provision provisioner refusal relay retreat rival settle silent standing standings stillborn strange
    surroundings teardown tiles told trackable unasked unwatched verdict verdicts walked wish wished workbench
    """.split()  # noqa: SIM905 (to be read, one word beside the other)
)
# Not as a whole name: each could name anything.
NAMES = frozenset(
    """
    found given made one ones place places said seen taken thing things told wanted what who whose
    """.split()  # noqa: SIM905
)
# What the pages, templates and help called things that the glossary names otherwise.
PHRASES = re.compile(
    r"\b(build steps?|command steps?|(a|the) flag beats|the environment beats|environment of (the )?scripts"
    r"|service time|whoever)\b",
    re.IGNORECASE,
)


def defined_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names of classes, functions, parameters, variables and fields."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def is_retired(name: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")
    return not WORDS.isdisjoint(words) or "_".join(words) in NAMES


def test_retired_words_do_not_come_back() -> None:
    names = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in SOURCES
        for name in (path.stem, path.parent.name, *defined_names(ast.parse(path.read_text())))
        if is_retired(name)
    }
    assert names == set()


@pytest.mark.parametrize(
    "source",
    [
        "class AwsCrew: ...",
        "class Change:\n    what: str",
        "def settle(): ...",
        "def _wish_of(run): ...",
        "def show(*, given): ...",
        "def show():\n    for one in (): ...",
        "def show(rows):\n    return [what for what in rows]",
        "def show():\n    with open('x') as told: ...",
    ],
)
def test_a_retired_word_is_noticed_as_any_kind_of_name(source: str) -> None:
    assert any(is_retired(name) for name in defined_names(ast.parse(source)))


def test_a_word_that_only_contains_a_retired_one_is_allowed() -> None:
    assert not any(is_retired(name) for name in ("benchmark", "is_not_found", "settings", "Placement"))


def test_retired_phrases_do_not_come_back() -> None:
    phrases = {f"{page.name}: {match[0]}" for page in PAGES for match in PHRASES.finditer(page.read_text())}
    assert phrases == set()


def test_a_retired_phrase_is_noticed_in_a_sentence() -> None:
    assert PHRASES.search("Build steps install packages.")
    assert PHRASES.search("A flag beats the environment.")
    assert not PHRASES.search("An option beats an environment variable; a step installs packages.")
