"""One command-line tool for the whole lifecycle of a machine-learning model."""

__version__ = "0.1.0"
