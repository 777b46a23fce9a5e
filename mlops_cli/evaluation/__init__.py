"""Evaluate predictions with numpy. Only the commands that need it import this package."""
