"""The inputs of a stage: files, packages, settings, and the cache key made of them."""
