"""``python -m mlops_cli.serving FOLDER``: the supervisor; started by control.py."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from mlops_cli.serving.control_files import EndpointDirectory, hold_lock
from mlops_cli.serving.supervisor import Supervisor


def main() -> None:
    folder = EndpointDirectory(Path(sys.argv[1]))
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level=logging.INFO)
    # The second lock is free once the workers of a killed supervisor are gone.
    with (
        hold_lock(folder.supervisor_lock, exclusive=True, seconds=5),
        hold_lock(folder.workers_lock, exclusive=True, seconds=10) as orphans,
    ):
        orphans.close()
        asyncio.run(Supervisor(folder).run())


main()
