"""The environment variables that this process passes to others: children, jobs, gates; and hints about them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path

from mlops_cli.core.jobs.script_environment import (
    BOOTSTRAP,
    PROXIES,
    PassedVariables,
    environment_inputs,
    inherited_environment,
    script_environment,
    with_paths,
)
from mlops_cli.core.secrets import is_secret_variable, known_secrets, secret_variables


def child_environment() -> dict[str, str]:
    """Return the process's environment without secrets."""
    return {name: value for name, value in os.environ.items() if not is_secret_variable(name, value)}


def server_environment() -> dict[str, str]:
    """Return the model server's environment: that of scripts without the use case's additions, as on AWS."""
    environ = child_environment()
    listed = {"PYTHONPATH": environ["PYTHONPATH"]} if "PYTHONPATH" in environ else {}
    return {**inherited_environment(environ), **listed}


def environment_secrets() -> frozenset[str]:
    """Return the values that are never shown."""
    return known_secrets(os.environ.items())


def withheld_variables(passed: PassedVariables) -> list[str]:
    """Return the variables with a secret that scripts, gates and the endpoint do not get."""
    passed_on = (*passed.names, *passed.secrets, *PROXIES)
    return [name for name in secret_variables(os.environ) if name not in passed_on]


def unpassed_variables(text: str, passed: PassedVariables) -> list[str]:
    """Return this process's variables that a script has named in its output but did not get."""
    words = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|(?<=KeyError: ')\w+", text))
    environment = job_environment({}, Path(), passed)
    passed_on = {*environment, *passed.secrets}
    return sorted(name for name in words if name in os.environ and name not in passed_on)


def job_environment(extra: Mapping[str, str], training: Path, passed: PassedVariables) -> dict[str, str]:
    """Return the environment of a job or a gate whose scripts are in ``training``."""
    environment = script_environment(child_environment() | _parse_list(passed), passed)
    return with_paths({**environment, **extra}, training, passed.code)


def compile_bootstrap() -> None:
    """Compile the module that Python loads at the start of scripts: scripts write no __pycache__ themselves."""
    SourceFileLoader("sitecustomize", str(BOOTSTRAP / "sitecustomize.py")).get_code("sitecustomize")


def job_environment_inputs(passed: PassedVariables) -> dict[str, str]:
    """Return the environment variables, by name, that are cache inputs of scripts and gates."""
    return environment_inputs(child_environment() | _parse_list(passed), passed)


def _parse_list(passed: PassedVariables) -> dict[str, str]:
    """Return the variables that the use case passes on, even with a secret's name, and the proxies.

    A proxy's address may contain a password, but without the address there is no network.
    """
    return {name: os.environ[name] for name in (*passed.names, *PROXIES) if name in os.environ}


def local_environment(folder: Path) -> dict[str, str]:
    """Return the environment for a process that stays on this machine: no secrets, no AWS, files below ``folder``."""
    kept = {name: value for name, value in child_environment().items() if not _leads_out(name)}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "NO_PROXY": "*", "no_proxy": "*"}


def meet_only(aws: Mapping[str, str], folder: Path) -> None:
    """Restrict this process to the AWS in these variables, to no proxy, and to this folder for its files.

    ``aws`` names files with credentials, so credentials in the environment or in the home folder are not read.
    """
    for name in [name for name in os.environ if _leads_out(name)]:
        del os.environ[name]
    import tempfile

    own = {"AWS_EC2_METADATA_DISABLED": "true", "TMPDIR": str(folder), "NO_PROXY": "*", "no_proxy": "*"}
    os.environ.update({**own, **aws})
    tempfile.tempdir = None


def _leads_out(name: str) -> bool:
    return name.startswith(("AWS_", "MLFLOW_", "KAGGLE_")) or name in PROXIES


def variable_names() -> list[str]:
    return list(os.environ)


def step_variables() -> dict[str, str]:
    """Return the variables of a CodeBuild step."""
    return {name: value for name, value in os.environ.items() if name.startswith(("MLOPS_", "CODEBUILD_"))}


def claimed_names() -> list[str]:
    """Return the user names in the environment. They are unverified: every caller can set them."""
    return [os.environ.get(name, "") for name in ("LOGNAME", "USER", "USERNAME")]
