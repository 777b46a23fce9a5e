"""A run that continues after the command has returned: a forked child that shares the project's lock."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.secrets import without_secrets
from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import open_unless_link
from mlops_cli.processes import interruption


class LogView:
    """Shows a run as plain lines on standard output, which is the log of a background run."""

    def stage_changed(self, run: Run, stage: StageRun) -> None:
        line = f"{time.strftime('%H:%M:%S')} {run.id} {stage.name} {stage.status.value} {stage.reason}"
        print(line, flush=True)  # noqa: T201

    def progress(self, stage: str, done: int, total: int, message: str) -> None:
        """Show nothing: the stage's own log has the progress."""


def detach(log: Path) -> bool:
    """Fork. Return True in the child, which has left the terminal and writes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if os.fork():
        return False
    os.setsid()
    null, out = os.open(os.devnull, os.O_RDONLY), open_unless_link(str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    return True


def finish_background_run(work: Callable[[], object]) -> None:
    """Do the work in the forked child, write its result to the log, and exit without the parent's cleanup."""
    code = 1
    try:
        work()
        code = 0
    except MlopsError as error:
        print(without_secrets(f"{error.message}\n{error.hint}"), flush=True)  # noqa: T201
        code = error.exit_code
    except KeyboardInterrupt:
        print("Stopped; no process of the run is running. Continue: mlops run", flush=True)  # noqa: T201
        code = interruption.exit_code()
    except BaseException:  # noqa: BLE001 (no other process reports it)
        print(without_secrets(traceback.format_exc()), end="", flush=True)  # noqa: T201
    finally:
        with suppress(OSError):  # the disk may be full, but this process must end
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
