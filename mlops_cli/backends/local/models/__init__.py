"""Models on this machine: approve, list, roll back."""
