"""The rules of the architecture, checked on the imports in the files."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mlops_cli.cli import app, register_commands
from mlops_cli.cli.groups import GROUPS
from mlops_cli.core.stages import STAGES
from tests.conftest import WITHOUT_AWS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mlops_cli"
STARTER = PACKAGE / "project" / "scaffold" / "starter"  # the first scripts of other projects
LIBRARY = PACKAGE / "core" / "bootstrap" / "mlops_scripts"  # what scripts import
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if not {STARTER, LIBRARY} & {*path.parents})
NUMERIC = ("mlops_cli/evaluation/", "mlops_cli/report/")
NUMERIC_PACKAGES = ("mlops_cli.evaluation", "mlops_cli.report")
LONGEST_CHAIN = 15
FULLEST_FOLDER = 15
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "aws_simulator" / "README.md"])
SCRIPTS = sorted([*(ROOT / "training").rglob("*.py"), *STARTER.rglob("*.py"), *LIBRARY.rglob("*.py")])


@cache
def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the full names of the modules that a file imports, or of its top level only."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def files_importing(package: str, files: list[Path], top_level_only: bool = False) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if any(name == package or name.startswith(package + ".") for name in imports(path, top_level_only))
    }


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported_modules(path: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere, but not only for type checkers."""
    tree = ast.parse(path.read_text())
    typing_only = {node for test in ast.walk(tree) if _is_type_checking(test) for node in ast.walk(test)}
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node not in typing_only:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members if members <= MODULES.keys() else {node.module, *members}
    return names & MODULES.keys()


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


MODULES = {module_of(path): path for path in SOURCES}


def reachable(starts: Iterable[str]) -> set[str]:
    """Return the modules that these import, directly or not, when they are used."""
    reached, waiting = set(), list(starts)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += imported_modules(MODULES[name])
    return reached


def longest_chain(modules: dict[str, set[str]]) -> list[str]:
    """Return the longest chain in which each module imports the next. Raise CycleError for a cycle."""
    chains: dict[str, list[str]] = {}
    for name in TopologicalSorter(modules).static_order():
        chains[name] = [name, *max((chains[below] for below in modules[name]), key=len, default=[])]
    return max(chains.values(), key=len)


def test_the_longest_import_chain_and_no_cycle() -> None:
    chain = longest_chain({name: imported_modules(path) - {name} for name, path in MODULES.items()})
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


def test_no_folder_has_too_many_modules() -> None:
    """Count the modules of each folder of the tool, its tests and the simulated AWS."""
    trees = ("mlops_cli", "training", "aws_simulator", "benchmarks", "tests")
    modules = [path for tree in trees for path in (ROOT / tree).rglob("*.py") if "__pycache__" not in path.parts]
    folders = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules)
    assert folders["mlops_cli/core"] > 1
    assert {folder: count for folder, count in folders.items() if count > FULLEST_FOLDER} == {}


def test_the_checked_files_are_found() -> None:
    assert len(SOURCES) > 30
    assert "mlops_cli.errors" in imports(PACKAGE / "cli" / "app.py")


def test_only_the_commands_import_typer() -> None:
    assert {Path(name).parent.as_posix() for name in files_importing("typer", SOURCES)} == {
        "mlops_cli/cli",
        *(f"mlops_cli/cli/commands/{group}" for group in GROUPS),
    }


def test_only_the_console_imports_rich() -> None:
    folders = {Path(name).parent.as_posix() for name in files_importing("rich", SOURCES)}
    assert folders == {"mlops_cli/console", "mlops_cli/console/live"}


@pytest.mark.parametrize("package", ["boto3", "botocore", "sagemaker"])
def test_only_the_aws_backend_knows_aws(package: str) -> None:
    importers = files_importing(package, SOURCES)
    assert importers
    assert {name for name in importers if not name.startswith("mlops_cli/backends/aws/")} == set()


def test_the_use_case_and_the_tool_never_import_each_other() -> None:
    assert files_importing("mlops_cli", SCRIPTS) == set()
    assert files_importing("boto3", SCRIPTS) == set()
    assert files_importing("training", SOURCES) == set()


def test_only_init_knows_the_use_case() -> None:
    words = re.compile(r"toxic|jigsaw|obscene|insult|comment_text|made-up comments|wikipedia", re.IGNORECASE)
    knowing = {path.relative_to(PACKAGE).as_posix() for path in SOURCES if words.search(path.read_text())}
    assert knowing == {"cli/commands/project/init.py", "project/scaffold/project_files.py"}


@pytest.mark.parametrize("heavy", ["tensorflow", "boto3", "polars", "kaggle", "numpy", "falcon", "uvicorn"])
def test_heavy_packages_are_imported_where_they_are_used(heavy: str) -> None:
    """Only the model server's worker process may import them at the top of a file.

    Report and evaluation may import numpy there: they are themselves imported only where they are used.
    """
    offenders = files_importing(heavy, SOURCES, top_level_only=True)
    allowed = ("mlops_cli/serving/", *(NUMERIC if heavy == "numpy" else ()))
    assert {name for name in offenders if not name.startswith(allowed)} == set()


def test_packages_that_need_numpy_are_imported_where_they_are_used() -> None:
    importers = {
        name for package in NUMERIC_PACKAGES for name in files_importing(package, SOURCES, top_level_only=True)
    }
    assert {name for name in importers if not name.startswith(NUMERIC)} == set()


LAYERS = (
    "errors", "plain_text", "files", "frameworks", "locks", "packaging", "core", "processes", "data", "project",
    "caching",
    "evaluation", "monitoring", "report", "console", "tracking", "serving", "backends", "rehearsal", "cli",
)  # fmt: skip


def _layer(module: str) -> int:
    return LAYERS.index(module.split(".")[1])


def test_imports_point_downward() -> None:
    """Each folder imports only from itself and from those before it in LAYERS."""
    upward = {
        f"{path.relative_to(ROOT)} -> {name}"
        for path in SOURCES
        if path.parent != PACKAGE
        for name in imports(path)
        if name.startswith("mlops_cli.") and _layer(name) > LAYERS.index(path.relative_to(PACKAGE).parts[0])
    }
    assert upward == set()


SERVED_WITH = (
    "mlops_cli.frameworks",
    "mlops_cli.serving",
    "mlops_cli.errors",
    "mlops_cli.plain_text",
    "mlops_cli.files",
    "mlops_cli.processes.short_links",
    "mlops_cli.processes.subreaper",
    "mlops_cli.monitoring.statistics",
    "mlops_cli.core.secrets",
)


def test_the_model_server_can_be_used_alone() -> None:
    """Its caller passes settings, environment and processes. None of the modules that it imports knows a project."""
    reached = reachable([module_of(path) for path in (PACKAGE / "serving").rglob("*.py")])
    allowed = (*SERVED_WITH, "mlops_cli.packaging.install_hint")  # says how to install TensorFlow
    assert {name for name in reached if not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)} == set()


def test_a_build_step_knows_no_report_page() -> None:
    """The command passes the function that makes the page."""
    reached = reachable(["mlops_cli.backends.aws.stages.codebuild_step"])
    assert "mlops_cli.backends.aws.stages.approval_report" in reached
    beside = ("mlops_cli.report", "mlops_cli.console", "mlops_cli.cli", "mlops_cli.tracking", "mlops_cli.data.sources")
    assert {name for name in reached if name.startswith(beside)} == set()


def test_the_targets_do_not_know_each_other() -> None:
    for target, other_target in (("aws", "local"), ("local", "aws")):
        names = {name for path in (PACKAGE / "backends" / target).rglob("*.py") for name in imports(path)}
        assert {name for name in names if name.startswith(f"mlops_cli.backends.{other_target}")} == set()


def test_the_command_line_knows_no_target() -> None:
    names = {name for path in (PACKAGE / "cli").rglob("*.py") for name in imports(path)}
    targets = {name for name in names if name.startswith("mlops_cli.backends.") and name.count(".") > 1}
    assert not {name for name in targets if name.startswith(("mlops_cli.backends.local", "mlops_cli.backends.aws"))}
    assert "mlops_cli.backends.base" in targets


def test_the_simulated_aws_does_not_know_the_tool() -> None:
    assert files_importing("mlops_cli", sorted((ROOT / "aws_simulator").rglob("*.py"))) == set()


def test_backends_do_not_show_anything() -> None:
    shown = {name for path in (PACKAGE / "backends").rglob("*.py") for name in imports(path)}
    assert {name for name in shown if name.startswith(("mlops_cli.console", "mlops_cli.cli"))} == set()


def test_only_config_reads_the_environment() -> None:
    readers = {path.relative_to(ROOT).as_posix() for path in SOURCES if "environ" in _attributes(path)}
    allowed = {
        "mlops_cli/project/environment.py",
        "mlops_cli/project/settings/values.py",
        "mlops_cli/project/settings/exports.py",
        "mlops_cli/project/settings/terminal.py",
        "mlops_cli/project/settings/script_secrets.py",
        "mlops_cli/data/sources/kaggle_client.py",  # hands the kaggle package's own variables to its client
    }
    # Processes of their own.
    names = ("index_url", "containers/launcher", "containers/model_trial", "containers/secrets_runner")
    in_containers = {f"mlops_cli/backends/aws/stages/{name}.py" for name in names}
    apart = ("mlops_cli/serving/", "mlops_cli/core/bootstrap/")
    assert {name for name in readers if not name.startswith(apart)} <= allowed | in_containers


def _attributes(path: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


def test_the_names_of_stages_stand_in_one_file() -> None:
    """Elsewhere a stage is known by its role or its kind: a new stage is a line in core/stages.py."""
    other_meanings = {("core/models/decision.py", "approval"), ("report/sections/distribution_shift.py", "train")}
    names = {stage.name for stage in STAGES}
    literals = {
        (path.relative_to(PACKAGE).as_posix(), node.value)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert {literal for literal in literals if literal[0] != "core/stages.py"} == other_meanings


def test_nothing_is_pickled() -> None:
    forbidden = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    assert {name for path in SOURCES + SCRIPTS for name in imports(path)} & forbidden == set()


def test_the_model_page_names_every_script_and_package_of_the_use_case() -> None:
    text = (ROOT / "docs" / "development" / "model.md").read_text()
    scripts = {path.name for path in (ROOT / "training").glob("*.py")}
    packages = {f"{path.parent.name}/" for path in (ROOT / "training").glob("*/__init__.py")}
    assert {"preprocess.py", "train.py", "inference.py"} == scripts
    assert {
        name for name in scripts | packages if f"[`{name}`](../../training/{name.rstrip('/')})" not in text
    } == set()


def test_the_scripts_of_the_use_case_and_its_network_are_read_in_one_sitting() -> None:
    paths = [*(ROOT / "training").glob("*.py"), ROOT / "training" / "model" / "network.py"]
    assert len(paths) == 4
    assert sum(len(path.read_text().splitlines()) for path in paths) <= 700


def test_the_architecture_page_names_every_module() -> None:
    text = (ROOT / "docs" / "development" / "architecture.md").read_text()
    described = set(re.findall(r"^  (\S+\.py|\S+/)  ", text, re.MULTILINE))
    modules = {
        path.name if path.is_file() else f"{path.name}/"
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or ((path / "__init__.py").is_file() and path != STARTER)
    }
    assert "core/" in modules
    assert modules - described == {"__init__.py", "__main__.py"}


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text())
    local = [((page.parent / name).resolve() if name else page, heading) for name, heading in links if ":" not in name]
    assert [str(path) for path, _ in local if not path.exists()] == []
    assert [(path.name, heading) for path, heading in local if heading and heading not in headings(path)] == []


def test_every_page_that_a_text_names_is_there() -> None:
    files = [*SOURCES, *PAGES, *(ROOT / "tests").rglob("*.py"), ROOT / ".env.example", ROOT / "pyproject.toml"]
    names = {name for file in files for name in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text())}
    assert {name for name in names if not (ROOT / name).exists()} <= {"docs/passwords.md"}  # of no project
    assert len(names) > 5


def test_every_command_has_a_module_of_its_name_in_the_folder_of_its_group() -> None:
    register_commands()
    command_line: Any = typer.main.get_command(app)
    folder = PACKAGE / "cli" / "commands"
    modules = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.py") if path.name != "__init__.py"}
    grouped = [(group, name) for group in GROUPS for name in GROUPS[group].commands]
    assert {f"{group}/{name.replace('-', '_')}.py" for group, name in grouped} == modules
    assert sorted(name for _, name in grouped) == sorted(command_line.commands)


def test_no_test_of_the_simulated_aws_is_in_a_folder_that_m_aws_ignores() -> None:
    modules = [module for folder in WITHOUT_AWS for module in folder.rglob("*.py") if module != Path(__file__)]
    fixtures = re.compile(r"aws_simulator\.fixture|tests\.harness\.(cloud|targets)")
    assert modules
    assert [str(module) for module in modules if fixtures.search(module.read_text())] == []
