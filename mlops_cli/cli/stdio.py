"""The three standard streams, made safe: open, and with an encoding that cannot fail."""

from __future__ import annotations

import io
import os
import sys


def open_streams() -> None:
    """Open closed streams on /dev/null; replace characters that a stream's encoding lacks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 (open to the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
