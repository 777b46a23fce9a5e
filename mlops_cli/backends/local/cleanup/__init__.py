"""Remove everything that mlops made on this machine, and verify it."""
