"""Generated comments with labels, for projects without the real ones."""
