"""The names that a secret of usecase.toml cannot have: a script that got one would lose what the name stands for."""

from __future__ import annotations

import re

from mlops_cli.core.jobs.script_environment import is_inherited
from mlops_cli.core.secrets import is_secret_name
from mlops_cli.project.settings.catalog import SETTINGS

# Of programs, shells, the linker and Python: another value changes what a script is, not what it knows.
SYSTEM = r"SHELL|SHLVL|PWD|OLDPWD|TERM|ENV|BASH_\w*|IFS|PS[0-9]|LD_\w*|PYTHON\w*|VIRTUAL_ENV|(?i:no_proxy)|_"


def secret_name_problem(name: str) -> str:
    """Return why a secret cannot have this name and what to write, in words; empty if it can."""
    if any(name in setting.names for setting in SETTINGS) and not name.startswith("AWS_"):
        return f"which is a setting of mlops itself; {_another(name)}"
    if name.startswith(("AWS_", "CODEBUILD_")):
        return f"which AWS sets for a job: scripts work with the job's role; remove it, or {_another(name)}"
    if is_inherited(name) and not is_secret_name(name):
        return "which scripts get from the system without being named; remove it"
    return f"which belongs to the system; {_another(name)}" if re.fullmatch(SYSTEM, name) else ""


def _another(name: str) -> str:
    return f"give the secret a name of its own, such as MY_{name}"
