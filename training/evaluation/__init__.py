"""Metrics, and the predictions that the report compares."""
