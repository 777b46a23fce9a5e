"""Request statistics and drift."""
