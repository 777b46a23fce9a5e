"""``python -m mlops_cli.backends.local.server FOLDER``: the supervisor; started by endpoint.py."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from mlops_cli.backends.local.server.records import Folder, held
from mlops_cli.backends.local.server.supervisor import Supervisor


def main() -> None:
    folder = Folder(Path(sys.argv[1]))
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level=logging.INFO)
    # The second lock is free once the workers of a supervisor that was killed are gone.
    with (
        held(folder.supervisor_lock, exclusive=True, seconds=5),
        held(folder.workers_lock, exclusive=True, seconds=10) as orphans,
    ):
        orphans.close()
        asyncio.run(Supervisor(folder).run())


main()
