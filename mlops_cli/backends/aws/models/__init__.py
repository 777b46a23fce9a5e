"""Models on AWS: approve, list, roll back."""
