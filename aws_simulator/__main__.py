"""`python -m aws_simulator --port N --folder DIR`: the simulated AWS on 127.0.0.1, until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from aws_simulator.endpoint_server import load, no_server
from aws_simulator.server import Equipment, serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--folder", type=Path, help="where files go; by default a folder that is removed in the end")
    parser.add_argument("--leashed", action="store_true", help="end when standard input closes")
    parser.add_argument(
        "--endpoint-server",
        type=load,
        default=no_server,
        metavar="MODULE:NAME",
        help="makes the model server behind an endpoint (see endpoint_server.py)",
    )
    parser.add_argument(
        "--locks", type=Path, help="pip requirement lists (*.txt): builds find these versions installed"
    )
    parser.add_argument("--remove-folder", action="store_true", help="remove the folder in the end, however it comes")
    parser.add_argument("--own-user", action="store_true", help="answer to no other user of this machine")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="aws-simulator-"))
    equipment = Equipment(
        folder.resolve(),
        arguments.remove_folder or arguments.folder is None,
        arguments.endpoint_server,
        arguments.locks,
        not arguments.own_user,
    )
    try:
        serve(arguments.port, arguments.leashed, equipment)
    finally:
        if equipment.removes_folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
