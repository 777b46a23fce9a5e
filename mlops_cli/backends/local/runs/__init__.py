"""Runs on this machine: start, continue, follow, stop, reproduce, record."""
