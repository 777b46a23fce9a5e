"""The output for people and scripts. The only package that imports rich."""

from mlops_cli.console.console import Console

__all__ = ["Console"]
