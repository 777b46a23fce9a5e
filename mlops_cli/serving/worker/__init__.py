"""The worker process: it loads a model package and answers requests."""
