"""What the user's folder says: its paths, settings, use case and git repository."""
