"""The three standard streams as every command may rely on them: open, and never the cause of a failure to encode."""

from __future__ import annotations

import io
import os
import sys


def open_streams() -> None:
    """Open on /dev/null what the caller has closed; replace what its encoding cannot show."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 (open to the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
