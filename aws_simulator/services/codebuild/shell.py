"""Run a build's commands one after the other, and keep their working directory and variables.

As with CodeBuild's own agent, each command is a script that reads both at its start and writes both at its end.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from aws_simulator.processes import Processes
from aws_simulator.services.codebuild.build import Build

SCRIPT = """. {environment}
cd "$(cat {directory})"
set -a
{command}
CODEBUILD_LAST_EXIT=$?
set +a
export -p > {environment}
pwd > {directory}
exit $CODEBUILD_LAST_EXIT
"""


class Shell:
    def __init__(self, name: str, folder: Path, start: Path, variables: Mapping[str, str]) -> None:
        self._name = name
        self._folder = folder
        self._environment = folder / "env.sh"
        self._directory = folder / "dir.txt"
        folder.mkdir(parents=True)
        lines = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
        self._environment.write_text("\n".join(lines) + "\n")
        self._directory.write_text(f"{start}\n")
        self._outer = dict(variables)

    def run(self, command: str, build: Build, processes: Processes, on_line: Callable[[str], None]) -> int:
        """Run a command. Return its exit code."""
        script = self._folder / "script.sh"
        files = {"environment": self._environment, "directory": self._directory}
        script.write_text(SCRIPT.format(command=command, **files))
        with build.lock:
            build.check()
            process = processes.start([self._name, str(script)], self._folder, self._outer, on_line)
            build.process = process
        code = process.wait()
        build.check()
        return code

    def value(self, name: str) -> str:
        """Return a variable's present value."""
        command = f'. {self._environment}; printf %s "${{{name}}}"'
        return subprocess.run([self._name, "-c", command], env=self._outer, capture_output=True, text=True).stdout

    def set(self, name: str, value: str) -> None:
        with self._environment.open("a") as file:
            file.write(f"export {name}={shlex.quote(value)}\n")
