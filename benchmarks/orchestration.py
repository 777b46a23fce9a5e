"""Start-up, six no-op stages and the unchanged re-run, compared with AWS SAM CLI, DVC, Kedro, Metaflow and no tool.

    python -m benchmarks.orchestration [REPEATS]

In every tool the six stages write one small file each. mlops runs six jobs in its own engine (the list of stages is
data and is replaced by six jobs), with its run store, cache keys and logs. *No tool* runs the same six scripts one
after the other: the time of six Python processes. Environments are created on first use.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import CACHE, Contender, environment, machine, medians, table

ROOT = Path(__file__).resolve().parents[1]
NAMES = [f"s{number}" for number in range(1, 7)]

STAGES = """
import mlops_cli.core.stages as stages
names = [f"s{number}" for number in range(1, 7)]
inputs = ["data", *names]
stages.STAGES = tuple(
    stages.Stage(name, stages.Kind.PROCESSING, f"{name}.py", (source,)) for name, source in zip(names, inputs)
)
from mlops_cli.__main__ import main
main()
"""
SCRIPT = """
import sys
with open(sys.argv[4] + "/out.txt", "w") as file:
    file.write(__file__)
"""
USE_CASE = """
name = "noop"
[data]
source = "sample"
[data.columns]
id = "id"
[metrics]
primary = "none"
"""
METAFLOW = """
from pathlib import Path
from metaflow import FlowSpec, step

class Noop(FlowSpec):
    @step
    def start(self):
        self.next(self.s1)
{steps}
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Noop()
"""
METAFLOW_STEP = """
    @step
    def {name}(self):
        Path("{name}.txt").write_text("{name}")
        self.next(self.{after})
"""
KEDRO = """
from kedro.pipeline import node, pipeline
def register_pipelines():
    nodes = [node(lambda _, n=n: str(n), f"s{n}", f"s{n + 1}", name=f"n{n}") for n in range(6)]
    return {"__default__": pipeline(nodes)}
"""


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def mlops(bin_: Path) -> tuple[Contender, Contender]:
    """Measure all six stages, and the run in which nothing has changed."""
    folder = fresh(CACHE / "work" / "mlops")
    (folder / "training").mkdir()
    (folder / "training" / "usecase.toml").write_text(USE_CASE)
    for name in NAMES:
        (folder / "training" / f"{name}.py").write_text(SCRIPT)
    (folder / "data.csv").write_text("id\na\nb\n")
    (folder / "six.py").write_text(STAGES)
    program = [str(bin_ / "python"), "six.py"]
    subprocess.run([*program, "download-data", "--source", "data.csv"], cwd=folder, check=True, capture_output=True)
    return Contender("mlops", [*program, "run", "--force"], folder), Contender("mlops", [*program, "run"], folder)


def no_tool(bin_: Path) -> Contender:
    """Measure the six scripts of ``mlops`` in a shell loop."""
    script = f"{bin_ / 'python'} training/$name.py --input-dir . --output-dir ."
    loop = f"for name in {' '.join(NAMES)}; do {script} || exit 1; done"
    return Contender("no tool", ["sh", "-c", loop], CACHE / "work" / "mlops")


def dvc(bin_: Path) -> tuple[Contender, Contender]:
    folder = fresh(CACHE / "work" / "dvc")
    program = str(bin_ / "dvc")
    for command in (["git", "init", "-q"], [program, "init", "-q"], [program, "config", "core.analytics", "false"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    stages = [
        f"  {name}:\n    cmd: echo {name} > {name}.txt\n    outs: [{name}.txt]\n"
        + (f"    deps: [{before}.txt]\n" if before else "")
        for before, name in zip(["", *NAMES], NAMES, strict=False)
    ]
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    path = {"PATH": f"{bin_}:/usr/bin:/bin"}
    return (
        Contender("DVC", [program, "repro", "--force", "-q"], folder, environment=path),
        Contender("DVC", [program, "repro", "-q"], folder, environment=path),
    )


def kedro(bin_: Path) -> tuple[Contender, Contender]:
    """Measure Kedro, which runs its nodes in one process and never skips one: its second run is a full run."""
    folder = fresh(CACHE / "work" / "kedro")
    package = folder / "src" / "noop"
    package.mkdir(parents=True)
    (folder / "conf" / "base").mkdir(parents=True)
    (folder / "conf" / "local").mkdir()
    (folder / "pyproject.toml").write_text(
        f'[tool.kedro]\npackage_name = "noop"\nproject_name = "noop"\nkedro_init_version = "{version(bin_, "kedro")}"\n'
    )
    (package / "__init__.py").touch()
    (package / "settings.py").touch()
    (package / "pipeline_registry.py").write_text(KEDRO)
    (folder / "s0.txt").write_text("start")
    files = "".join(f"s{n}:\n  type: text.TextDataset\n  filepath: s{n}.txt\n" for n in range(7))
    (folder / "conf" / "base" / "catalog.yml").write_text(files)
    command = [str(bin_ / "kedro"), "run"]
    quiet = {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    return Contender("Kedro", command, folder, environment=quiet), Contender(
        "Kedro", command, folder, environment=quiet
    )


def metaflow(bin_: Path) -> tuple[Contender, Contender]:
    """Measure Metaflow, which adds a start and an end, runs each step in a process, and never skips one."""
    folder = fresh(CACHE / "work" / "metaflow")
    steps = [
        METAFLOW_STEP.format(name=name, after=after) for name, after in zip(NAMES, [*NAMES[1:], "end"], strict=True)
    ]
    (folder / "flow.py").write_text(METAFLOW.format(steps="".join(steps)))
    command = [str(bin_ / "python"), "flow.py", "run"]
    quiet = {"METAFLOW_USER": "somebody", "METAFLOW_DEFAULT_METADATA": "local", "METAFLOW_DEFAULT_DATASTORE": "local"}
    contender = Contender("Metaflow", command, folder, environment=quiet)
    return contender, contender


def version(bin_: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(bin_ / "python"), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ours = environment("mlops", "-e", str(ROOT))
    sam, dvc_, kedro_ = (
        environment("sam", "aws-sam-cli"),
        environment("dvc", "dvc"),
        environment("kedro", "kedro", "kedro-datasets"),
    )
    metaflow_ = environment("metaflow", "metaflow")
    programs = {
        "mlops": ours / "mlops",
        "AWS SAM CLI": sam / "sam",
        "DVC": dvc_ / "dvc",
        "Kedro": kedro_ / "kedro",
        "Metaflow": metaflow_ / "metaflow",
    }
    helps = medians([Contender(name, [str(p), "--help"], CACHE) for name, p in programs.items()], repeats)
    runs, reruns = zip(mlops(ours), dvc(dvc_), kedro(kedro_), metaflow(metaflow_), strict=True)
    first, second = medians([*runs, no_tool(ours)], repeats), medians(reruns, repeats)
    print(f"{machine()}; median of {repeats}, seconds (times mlops)\n")
    names = [*programs, "no tool"]
    rows = {name: [cell(values, name) for values in (helps, first, second)] for name in names}
    print(table("", ["--help", "six no-op stages", "nothing changed"], rows))
    stage, process = (first["mlops"] - second["mlops"]) / len(NAMES), first["no tool"] / len(NAMES)
    print(f"\na stage of mlops, without the start: {stage:.3f} s; a process of its script alone: {process:.3f} s")


def cell(values: dict[str, float], name: str) -> str:
    return f"{values[name]:.3f} ({values[name] / values['mlops']:.1f})" if name in values else "-"


if __name__ == "__main__":
    main()
