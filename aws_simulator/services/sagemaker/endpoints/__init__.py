"""Endpoints: configurations, instances, requests."""
