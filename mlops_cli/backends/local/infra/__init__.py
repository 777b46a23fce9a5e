"""The state that the local target needs before a run."""
