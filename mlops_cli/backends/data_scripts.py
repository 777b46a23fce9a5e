"""Run a data script like a stage's script: with a clean environment, a time limit, a log, and recorded reads.

For the target aws, too, it runs on the user's machine, because that machine can access the data.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlops_cli.caching.key import code_inputs
from mlops_cli.caching.reads import Reads
from mlops_cli.core.cache_inputs import FILE
from mlops_cli.core.jobs.script_job import describe_exit, named_arguments, progress_in
from mlops_cli.core.jobs.time_limits import time_limit_message
from mlops_cli.core.progress import Report
from mlops_cli.core.stages import DOWNLOAD
from mlops_cli.data.scripts import DataScript
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.atomic import open_unless_link
from mlops_cli.files.hashing import digest_file
from mlops_cli.processes.child_process import JobProcesses, TimeLimitError
from mlops_cli.processes.output_lines import LastLines, OutputLine
from mlops_cli.project.environment import job_environment, job_environment_inputs
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.script_secrets import required_secrets
from mlops_cli.project.usecase.use_case import UseCase

LOG, READS = "script.log", "script.reads"
TAIL_LINES = 8
DISK_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class DataScripts:
    """Runs the data scripts of one project. The caller holds the project's lock."""

    def __init__(self, project: Project, use_case: UseCase) -> None:
        self._project, self._use_case = project, use_case
        self._children = JobProcesses(project.state / "children")

    @property
    def training(self) -> Path:
        return self._project.training

    def inputs(self, script: DataScript) -> dict[str, str]:
        arguments = {f"argument {name}": value for name, value in script.arguments.items()}
        return {**self._code(script), **job_environment_inputs(self._use_case.passed), **arguments}

    def run(self, name: str, script: DataScript, output: Path, report: Report) -> dict[str, str]:
        reads = self._project.data / READS
        reads.unlink(missing_ok=True)
        code, started_ns = self._code(script), time.time_ns()
        try:
            self._run(name, script, output, reads, report)
            return self._files(code, reads, started_ns, output)
        finally:
            reads.unlink(missing_ok=True)

    def _run(self, name: str, script: DataScript, output: Path, reads: Path, report: Report) -> None:
        log, tail = self._project.data / LOG, LastLines(TAIL_LINES)
        log.unlink(missing_ok=True)
        argv = [sys.executable, script.file, "--output-dir", str(output.resolve()), *named_arguments(script.arguments)]
        training, minutes = self._project.training, self._use_case.time_limits.of_download
        passed = self._use_case.passed
        secrets = required_secrets(passed.secrets, self._project.dotenv)
        environment = job_environment({**secrets, "MLOPS_READS": str(reads.resolve())}, training, passed)
        with open(log, "wb", opener=open_unless_link) as file:
            on_line = _reader(name, tail, report)
            try:
                code = self._children.run(argv, training, environment, file, on_line, minutes * 60)
            except TimeLimitError:
                reason = f"takes too long: {time_limit_message(DOWNLOAD, minutes)}."
                raise self._failure(script, reason, tail, log) from None
        if code != 0 and any(reason in line for line in tail.texts for reason in DISK_FULL):
            raise MlopsError(f"the disk is full while writing to {output}", "make room, then repeat the command")
        if code != 0:
            raise self._failure(script, f"{describe_exit(code)}.", tail, log)

    def _code(self, script: DataScript) -> dict[str, str]:
        training = self._project.training
        path = training / script.file
        if not path.is_file():
            raise ConfigurationError(
                f"the script {self._project.scripts_dir}/{script.file} is missing",
                "restore it, or change [data] in usecase.toml",
            )
        return code_inputs(path, {}, root=training, project=self._project.root)

    def _files(self, code: dict[str, str], reads: Path, started_ns: int, output: Path) -> dict[str, str]:
        """Return the digests of the script's modules and of the files that it has read, by path."""
        root, scripts_dir = self._project.root, self._project.scripts_dir
        modules = {str(root / name): value for name, value in code.items() if name.startswith(f"{scripts_dir}/")}
        read = Reads(root, self._use_case.files, digest_file, scripts_dir).cache_inputs(reads, started_ns, code)
        paths = {root / name.removeprefix(FILE): value for name, value in read.items() if name.startswith(FILE)}
        return {**modules, **{str(path): value for path, value in paths.items() if not path.is_relative_to(output)}}

    def _failure(self, script: DataScript, reason: str, tail: LastLines, log: Path) -> MlopsError:
        lines = "\n".join(f"  {line}" for line in tail.texts) or "  (it printed nothing)"
        message = f"{self._project.scripts_dir}/{script.file} {reason}\n{lines}\nLog: {log}"
        return MlopsError(message, "fix it, then repeat the command")


def _reader(phase: str, tail: LastLines, report: Report) -> Callable[[OutputLine], None]:
    """Return a function that reports progress lines and keeps the last of the other lines."""

    def on_line(line: OutputLine) -> None:
        if progress := progress_in(line.text):
            done, total, message = progress
            report(phase, done, total, (message.split() or [""])[0])
        else:
            tail.add(line)

    return on_line
