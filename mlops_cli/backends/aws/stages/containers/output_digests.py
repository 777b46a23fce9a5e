"""Run a processing job's script, then report the files that it has written. Imports nothing of mlops.

This file is packed beside the script. It uploads a list of the files with their digests, and reports the digest of this
list as the job's message. SageMaker keeps the message with the job, and nobody else can write it.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run(root: Path, command: Sequence[str]) -> int:
    """Run the command, and ``write`` if it succeeds. Return its exit code. Pass on a signal to end."""
    early: list[int] = []  # signals that arrive while the process is started
    signal.signal(signal.SIGTERM, lambda number, _: early.append(number))
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    for number in early:
        process.send_signal(number)
    code = process.wait()
    if code == 0:
        write(root)
    return code if code >= 0 else 128 - code


def write(root: Path) -> None:
    """Write the list and the message. ``root``: the container's /opt/ml."""
    output, lists, message = (
        root / "processing" / "output",
        root / "processing" / "digests",
        root / "output" / "message",
    )
    names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    rows = "".join(f"{name}\0{digest_of(output / name)}\n" for name in names).encode()
    digest = hashlib.sha256(rows).hexdigest()
    for file in (lists / digest, message):
        file.parent.mkdir(parents=True, exist_ok=True)
    (lists / digest).write_bytes(rows)
    message.write_text(f"{digest}\n", encoding="utf-8")


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
