"""The state in .mlops/ that the local target needs before a run."""
