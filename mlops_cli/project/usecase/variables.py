"""Read [environment] and [secrets]: the variables that scripts get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mlops_cli.core.jobs.script_environment import PassedVariables, is_inherited, is_own
from mlops_cli.core.jobs.secret_addresses import EXPECTED, is_address
from mlops_cli.core.secrets import is_secret_name
from mlops_cli.project.settings.catalog import SETTINGS
from mlops_cli.project.usecase.problems import Problems
from mlops_cli.project.usecase.toml_values import Scalar, table_at

# Variables of programs, shells, the linker and Python. They change which code a script runs, so they are no input.
SYSTEM = r"SHELL|SHLVL|PWD|OLDPWD|TERM|ENV|BASH_\w*|IFS|PS[0-9]|LD_\w*|PYTHON\w*|VIRTUAL_ENV|(?i:no_proxy)|_"


def read_passed(table: dict[str, Any], problems: Problems) -> PassedVariables:
    """Return the environment variables that scripts get in addition to the common ones."""
    names, fixed = _names(table, "pass", problems, "environment."), table_at(table, "set", problems, "environment.set")
    _check_variables((*names, *fixed), "environment", problems)
    for name, value in fixed.items():
        if not isinstance(value, Scalar):
            problems.add(f"environment.set.{name}", "must be a text, a number or true/false")
        elif "\0" in str(value):
            problems.add(f"environment.set.{name}", "contains a NUL character, which no program can be given")
    return PassedVariables(tuple(names), {name: str(value) for name, value in fixed.items()})


def read_secrets(table: dict[str, Any], passed: PassedVariables, problems: Problems) -> dict[str, str]:
    """Return the names of the secrets that scripts get, with their addresses on AWS. Show no wrong value."""
    names, addresses = _names(table, "names", problems, "secrets."), table_at(table, "aws", problems, "secrets.aws")
    _check_variables(names, "secrets", problems)
    for name in sorted({*names} & {*passed.names, *passed.fixed}):
        problems.add(f"secrets.names.{name}", "is in [environment], too; remove one of them")
    for name in names:
        if problem := _secret_name_problem(name):
            problems.add(f"secrets.names.{name}", f"has {name}, {problem}", "secrets.names")
    for name, address in addresses.items():
        if name not in names:
            problems.add_unknown(f"secrets.names.{name}", name, names, f"secrets.aws.{name}")
        elif not isinstance(address, str) or not is_address(address):
            problems.add(f"secrets.aws.{name}", f"must be {EXPECTED}")
    return {name: str(addresses.get(name, "")) for name in names}


def _names(table: dict[str, Any], key: str, problems: Problems, prefix: str) -> list[str]:
    names = table.get(key, [])
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    problems.add(f"{prefix}{key}", f'must be a list of names, such as {key} = ["SHOP_TOKEN"]')
    return []


def _check_variables(names: Sequence[str], title: str, problems: Problems) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            problems.add(f"{title}.names.{name}", f"has {name!r}, expected the name of a variable", title)
        elif is_own(name):
            problems.add(f"{title}.names.{name}", f"has {name}, which mlops sets itself; choose another name", title)


def _secret_name_problem(name: str) -> str:
    """Return why a secret cannot have this name and what to write instead; empty if it can."""
    if any(name in setting.names for setting in SETTINGS) and not name.startswith("AWS_"):
        return f"which is a setting of mlops itself; {_another(name)}"
    if name.startswith(("AWS_", "CODEBUILD_")):
        return f"which AWS sets for a job: scripts work with the job's role; remove it, or {_another(name)}"
    if is_inherited(name) and not is_secret_name(name):
        return "which scripts get from the system without being named; remove it"
    return f"which belongs to the system; {_another(name)}" if re.fullmatch(SYSTEM, name) else ""


def _another(name: str) -> str:
    return f"give the secret a name of its own, such as MY_{name}"
