"""All that a person or a script sees of mlops. The only package that imports rich."""

from mlops_cli.console.console import Console

__all__ = ["Console"]
