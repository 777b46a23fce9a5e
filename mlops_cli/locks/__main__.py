"""``python -m mlops_cli.locks NAME``: print the path of a list, for pip's ``--require-hashes -r``."""

import sys

from mlops_cli.locks import path_of

sys.stdout.write(f"{path_of(sys.argv[1])}\n")
