"""Limits for reading and unpacking downloads, which are untrusted."""

from __future__ import annotations

MOST_FILES = 1_000_000
MAX_UNPACKED = 64 * 2**30
CHUNK = 1 << 20
