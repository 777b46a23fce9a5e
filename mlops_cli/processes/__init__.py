"""Processes of this machine: children, their identity, the project's lock, interruption."""
