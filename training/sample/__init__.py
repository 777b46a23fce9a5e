"""Made-up comments with labels, for everybody without the real ones."""
