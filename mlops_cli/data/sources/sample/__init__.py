"""The built-in sample: synthetic comments with labels."""
