"""``python -m mlops_cli.serving FOLDER``: the supervisor; started by control.py."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from mlops_cli.serving.control_files import EndpointDirectory, hold_lock
from mlops_cli.serving.http.connections import raise_descriptor_limit
from mlops_cli.serving.supervision.log_file import LogFile
from mlops_cli.serving.supervision.supervisor import Supervisor


def main() -> None:
    folder = EndpointDirectory(Path(sys.argv[1]))
    output = LogFile(folder.log)
    logging.basicConfig(handlers=[output], level=logging.INFO)
    raise_descriptor_limit()
    # The second lock is free once the workers of a killed supervisor are gone.
    with (
        hold_lock(folder.supervisor_lock, exclusive=True, seconds=5),
        hold_lock(folder.workers_lock, exclusive=True, seconds=10) as orphans,
    ):
        orphans.close()
        asyncio.run(Supervisor(folder, output).run())


main()
