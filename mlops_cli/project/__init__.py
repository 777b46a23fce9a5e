"""The user's folder: paths, settings, use case and git repository."""
