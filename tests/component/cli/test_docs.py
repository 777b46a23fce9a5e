"""docs/reference/commands.md equals the commands' help.

Generate it: ``python -m tests.component.cli.test_docs > docs/reference/commands.md``.
"""

from __future__ import annotations

import re
from typing import Any

import typer.main

from mlops_cli.cli import app, register_commands
from mlops_cli.cli.groups import GROUPS
from mlops_cli.project.settings.catalog import COMMON_WORDS, SETTINGS
from tests.conftest import ROOT

HEAD = """# Commands and settings

`python -m tests.component.cli.test_docs > docs/reference/commands.md` generates this page from the help of the
commands; a test compares both.
"""


def commands_page() -> str:
    register_commands()
    group: Any = typer.main.get_command(app)
    names = [name for commands in GROUPS.values() for name in commands.commands]
    shown = [pair for name in names for pair in with_subcommands(f"mlops {name}", group.commands[name])]
    sections = [section(title, command) for title, command in shown if not command.hidden]
    return "\n".join([HEAD, section("mlops", group, "These options come before the command."), *sections, settings()])


def with_subcommands(title: str, command: Any) -> list[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    return [(title, command), *((f"{title} {name}", subcommand) for name, subcommand in below.items())]


def section(title: str, command: Any, about: str = "") -> str:
    rows = [row(parameter) for parameter in command.params if parameter.name not in ("help", *SHELL)]
    text = about or command.help.split("\n")[0]
    example = f"`{command.epilog.removeprefix('Example: ')}`\n\n" if not about else ""
    return f"## {title}\n\n{text}\n\n{example}" + "| option | meaning |\n|---|---|\n" + "".join(rows)


SHELL = ("install_completion", "show_completion")


def row(parameter: Any) -> str:
    name = ", ".join(parameter.opts) if parameter.param_type_name == "option" else argument(parameter)
    return f"| `{name}` | {parameter.help} |\n"


def argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def settings() -> str:
    rows = [f"| `{setting.name}` | {setting.default or '-'} | {setting.meaning} |\n" for setting in SETTINGS]
    words = ", ".join(f"`{name}`" for name in COMMON_WORDS)
    head = (
        "## Settings\n\nAn option overrides an environment variable, an environment variable overrides `.env`, and "
        "`.env` overrides the default. "
        f"{words} have a second name that begins with `MLOPS_`, such as `MLOPS_STAGE`. CI systems set the short names "
        "for their own use, so on one machine `mlops` reads the short names from `.env` only.\n\n"
    )
    return head + "| setting | default | meaning |\n|---|---|---|\n" + "".join(rows)


def test_the_page_equals_the_help_of_the_commands() -> None:
    assert (ROOT / "docs" / "reference" / "commands.md").read_text() == commands_page()


def test_every_option_is_explained() -> None:
    assert re.findall(r"\| `[^|]*` \| (?:None)? \|", commands_page()) == []


if __name__ == "__main__":
    print(commands_page(), end="")
