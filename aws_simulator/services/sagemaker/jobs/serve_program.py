"""The program ``serve`` of a simulated serving image: it asks for a model server, and prints what that logs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

BEGIN, LOG, END = "begin", "log", "end"
LOOK_SECONDS = 0.05


def main() -> int:
    folder, position = Path(__file__).resolve().parent, 0
    (folder / BEGIN).touch()
    while True:
        ended, log = (folder / END).exists(), folder / LOG
        if log.exists():
            with log.open("rb") as file:
                file.seek(position)
                content = file.read()
            position += len(content)
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        if ended:
            if not position:  # the container has not started
                print((folder / END).read_text())
            return 1
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
