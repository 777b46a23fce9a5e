"""``python -m mlops_cli.serving FOLDER``: the supervisor; started by control.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlops_cli.processes.subreaper import LINUX, TOKEN, Subreaper

# It answers the requests in progress before it ends.
GRACE_SECONDS = 15.0


def main() -> None:
    if LINUX:  # before the imports, so that the remaining process needs little memory
        Subreaper(os.environ.get(TOKEN, ""), GRACE_SECONDS, closes=False).fork()
    serve(Path(sys.argv[1]))


def serve(root: Path) -> None:
    import asyncio
    import logging

    from mlops_cli.serving.control_files import EndpointDirectory, hold_lock
    from mlops_cli.serving.http.connections import raise_descriptor_limit
    from mlops_cli.serving.supervision.log_file import LogFile
    from mlops_cli.serving.supervision.supervisor import Supervisor

    folder = EndpointDirectory(root)
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
