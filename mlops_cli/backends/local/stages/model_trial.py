"""Try a trained model before the approval. If it cannot be served, the training's stage fails."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.backends.local.server_processes import process_environment
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.jobs.script_job import describe_exit
from mlops_cli.core.runs import CONTINUE
from mlops_cli.files.atomic import open_unless_link, remove_tree
from mlops_cli.frameworks.package_check import UNSERVABLE
from mlops_cli.processes.child_process import JobProcesses, TimeLimitError

SECONDS = 120.0  # as for a deployment


@dataclass(frozen=True)
class ModelTrial:
    """``examples``: the body of a request; empty if usecase.toml has no examples."""

    framework: str
    examples: str

    def run(self, package: Path, children: JobProcesses, log: Path) -> None:
        """Load the package in the server's runtime and send the examples. Raise StageFailed with the reason."""
        folder = package.with_name(".trial")
        request = package.with_name(".trial.json")
        remove_tree(folder)
        request.write_text(self.examples, encoding="utf-8")
        lines: list[str] = []
        names = (str(package), str(folder), self.framework, str(request))
        command = [sys.executable, "-m", "mlops_cli.serving.worker.trial", *names]
        try:
            with open(log, "ab", opener=open_unless_link) as file:
                code = children.run(
                    command, package.parent, process_environment(), file, lambda line: lines.append(line.text), SECONDS
                )
        except TimeLimitError:
            message = f"{UNSERVABLE}: it was not ready within {SECONDS:g} s.\nLog: {log}"
            raise StageFailed(message, CONTINUE) from None
        finally:
            remove_tree(folder)
            request.unlink(missing_ok=True)
        if code != 0:
            ending = f"its process {describe_exit(code)}"
            # A native crash writes no reason: the last line is about anything else.
            reason = ending if code < 0 else next((line for line in reversed(lines) if line.strip()), ending)
            message = f"{UNSERVABLE}: {reason.strip()}\nLog: {log}"
            raise StageFailed(message, CONTINUE, {"exit_code": code})
