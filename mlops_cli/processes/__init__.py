"""Processes of this machine: children, the project's lock, interruption."""
