"""``mlops init``"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json


@command("init", "mlops init churn --minimal")
def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new project's folder.")],
    name: Annotated[str, typer.Option(help="The name of the use case.", show_default="the folder's name")] = "",
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Use short scripts for a table instead of the toxic comments' use case.")
    ] = False,
    framework: Annotated[
        str, typer.Option(help="Use short scripts of this framework: tensorflow, sklearn or xgboost.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Create a project that runs at once.

    Without --minimal or --framework the project is the toxic comments' use case. See docs/your-own-use-case.md.
    """
    from mlops_cli.console import output
    from mlops_cli.project.scaffold import plan_project, project_files, project_name, write_project

    _, console = get_context(ctx)
    minimal = minimal or bool(framework)
    name = project_name(name, folder, minimal)
    files = project_files(name, minimal, framework)
    plan = plan_project(folder, files)
    write_project(folder, files)
    output.show_plan(console, plan)
    console.say(f"{folder} holds the use case {name}" if plan.active else "no changes")
    is_current_folder = folder.resolve() == Path.cwd()
    console.next("mlops quickstart" if is_current_folder else f"cd {shlex.quote(str(folder))} && mlops quickstart")
    console.result(
        {"project": str(folder.resolve()), "name": name, "files": sorted(files), "changed": bool(plan.active)}
    )
