"""The cache inputs of a stage (files, packages, settings) and its cache key."""
