"""Stages, runs, cache keys and the engine. No IO, except in bootstrap/."""
