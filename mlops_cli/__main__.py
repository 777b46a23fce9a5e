"""``python -m mlops_cli`` is ``mlops``."""

from mlops_cli.cli import main

main()
