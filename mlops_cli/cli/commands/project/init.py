"""``mlops init``"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import DryRun, Json
from mlops_cli.frameworks import NAMES

if TYPE_CHECKING:
    from mlops_cli.console import Console
    from mlops_cli.project.scaffold.new_project import NewProject

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder: a new one, or your repository.")]
Name = Annotated[str, typer.Option(help="The name of the use case.", show_default="the folder's name")]
Minimal = Annotated[
    bool, typer.Option("--minimal", help="Use short scripts for a table instead of the toxic comments' use case.")
]
Framework = Annotated[
    str,
    typer.Option(help=f"Use short scripts of this framework: {', '.join(NAMES)}."),
]
Aws = Annotated[bool, typer.Option("--aws", help="Add the CloudFormation templates of the aws target.")]
Github = Annotated[bool, typer.Option("--github", help="Add a workflow of GitHub Actions.")]
ScriptsDir = Annotated[
    str, typer.Option("--scripts-dir", metavar="FOLDER", help="The folder of the scripts, if training/ is taken.")
]


@command("init", "mlops init churn --framework sklearn")
def init(
    ctx: typer.Context,
    folder: Folder,
    name: Name = "",
    minimal: Minimal = False,
    framework: Framework = "",
    aws: Aws = False,
    github: Github = False,
    scripts_dir: ScriptsDir = "training",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Create a project, also in a repository with code.

    The command adds the missing files and changes no file. Without --minimal or --framework the project is the
    toxic comments' use case. Describe your own data in the usecase.toml that it writes, and run `mlops quickstart`.
    """
    from mlops_cli.console import output
    from mlops_cli.project.scaffold.new_project import existing_name, new_project, write_project
    from mlops_cli.project.scaffold.project_files import Kind, project_name

    _, console = get_context(ctx)
    minimal = minimal or bool(framework)
    chosen = project_name(name or existing_name(folder), folder, minimal)
    kind = Kind(chosen, minimal, framework, aws or github, github, scripts_dir.removesuffix("/"))
    project = new_project(folder, kind)
    plan = project.plan
    output.show_plan(console, plan)
    if dry_run:
        console.say("dry run: nothing was changed")
    else:
        write_project(project)
        _show_written(console, folder, project)
    files = {"files": sorted(project.files), "added": sorted(project.missing)}
    changed = bool(plan.active) and not dry_run
    console.result({"project": str(folder.resolve()), "name": project.kind.name, **files, "changed": changed})


def _show_written(console: Console, folder: Path, project: NewProject) -> None:
    console.say(f"{folder} holds the use case {project.kind.name}" if project.plan.active else "no changes")
    for note in project.notes:
        console.say(f"note: {note}")
    is_current_folder = folder.resolve() == Path.cwd()
    console.next("mlops quickstart" if is_current_folder else f"cd {shlex.quote(str(folder))} && mlops quickstart")
