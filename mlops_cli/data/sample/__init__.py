"""The built-in sample: made-up comments with labels."""
