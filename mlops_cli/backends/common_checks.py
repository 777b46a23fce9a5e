"""Checks for both targets: the interpreter, the dataset, and Kaggle if it is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.core.figures import byte_size
from mlops_cli.data.metadata import DatasetInfo
from mlops_cli.data.sources.kaggle_source import KaggleSource
from mlops_cli.packaging.install_hint import install_arguments, install_command
from mlops_cli.project.settings.script_secrets import (
    missing_hint,
    missing_message,
    missing_secrets,
    secret_origins,
    short_message,
    short_secrets,
)
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.use_case import UseCase

# As in pyproject.toml: the oldest supported version, and the first unsupported one.
PYTHONS = ((3, 10), (3, 14))
KAGGLE_FILES = (".kaggle/access_token", ".kaggle/access_token.txt", ".kaggle/kaggle.json", ".config/kaggle/kaggle.json")


def python_version_check(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    text = ".".join(map(str, version))
    oldest, too_new = (".".join(map(str, bound)) for bound in PYTHONS)
    if PYTHONS[0] <= version[:2] < PYTHONS[1]:
        yield ok("python", text)
        return
    yield Finding(
        "python",
        State.FAILURE,
        f"This is Python {text}.",
        f"mlops and TensorFlow need {oldest} or newer, and older than {too_new}.",
        f"python3.12 -m venv .venv && .venv/bin/python -m pip {install_arguments('local')}",
    )


SHORT_REASON = "Such a short text also occurs in other output by chance, and would be replaced there, too."
SHORT_FIX = "Use a longer secret."


def secrets_check(use_case: UseCase, dotenv: Path) -> Iterator[Finding]:
    """Check that the secrets of usecase.toml are set on this machine and can be hidden. Do nothing without secrets."""
    names = use_case.passed.secrets
    if short := short_secrets(names, dotenv):
        yield Finding("secrets", State.WARNING, short_message(short), SHORT_REASON, SHORT_FIX)
    if missing := missing_secrets(names, dotenv):
        reason = "Scripts and gates get it; they do not start without it."
        yield Finding("secrets", State.FAILURE, missing_message(missing), reason, missing_hint(missing))
    elif names and not short:
        yield ok("secrets", ", ".join(f"{name} ({origin})" for name, origin in secret_origins(names, dotenv).items()))


def dataset_check(
    use_case: UseCase, settings: Settings, dataset: Callable[[], DatasetInfo | None]
) -> Iterator[Finding]:
    """Check the dataset. If there is none, check that this machine can reach its source."""
    info = dataset()
    if info:
        yield ok("dataset", f"{info.amount}, {byte_size(info.bytes)}, sha256 {info.sha256[:12]}")
        return
    yield Finding("dataset", State.WARNING, "There is no dataset yet.", "A run needs a dataset.", "mlops download-data")
    if KaggleSource.accepts(use_case.source):
        yield from _kaggle(settings, use_case)


def _kaggle(settings: Settings, use_case: UseCase) -> Iterator[Finding]:
    source = use_case.alternative
    alternative = f"; to try it without Kaggle: mlops download-data --source {source}" if source else ""
    if find_spec("kaggle") is None:
        yield Finding(
            "kaggle",
            State.FAILURE,
            "The kaggle package is not installed.",
            "Kaggle is the data source in usecase.toml.",
            f"{install_command('kaggle')} (it needs Python 3.11 or newer){alternative}",
        )
    location = _kaggle_credentials(settings)
    if location:
        yield ok("kaggle", f"credentials in {location}")
        return
    yield Finding(
        "kaggle",
        State.FAILURE,
        "There are no Kaggle credentials.",
        "Kaggle is the data source in usecase.toml.",
        "Create a token at https://www.kaggle.com/settings/api and put it in KAGGLE_API_TOKEN or "
        f"~/.kaggle/access_token{alternative}",
    )


def _kaggle_credentials(settings: Settings) -> str:
    """Return the location of the Kaggle credentials; empty if there are none. Only Kaggle can verify them."""
    if settings["KAGGLE_API_TOKEN"]:
        return "KAGGLE_API_TOKEN"
    if settings["KAGGLE_USERNAME"] and settings["KAGGLE_KEY"]:
        return "KAGGLE_USERNAME and KAGGLE_KEY"
    return next((f"~/{name}" for name in KAGGLE_FILES if (Path.home() / name).is_file()), "")
