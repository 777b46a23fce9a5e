"""The digest of a stage's cache inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlops_cli.files.hashing import digest_bytes

# Cache inputs that a run itself has recorded: the files that it has read in addition to those that always count.
FILE, FOLDER = "the file ", "the folder "
# The cache input with the dataset's digest.
THE_DATA = "the data"

READ = (FILE, FOLDER)
# All prefixes of names with a slash that do not belong to the project's code.
_NO_CODE = (*READ, "column ", "package ", "variable ", "secret ")


def code_files(cache_inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of the project's code. The names are paths, such as training/train.py or src/shop/a.py."""
    return {name: value for name, value in cache_inputs.items() if "/" in name and not name.startswith(_NO_CODE)}


def digest_cache_inputs(cache_inputs: Mapping[str, str]) -> str:
    """Return one digest of the cache inputs, independent of their order.

    Recorded reads are left out, because they are compared separately.
    """
    counted = {name: value for name, value in cache_inputs.items() if not name.startswith(READ)}
    return digest_bytes(json.dumps(counted, sort_keys=True).encode())


def with_reads(cache_inputs: Mapping[str, str], read: Mapping[str, str]) -> dict[str, str]:
    """Return the cache inputs with the reads of the latest execution instead of those of an earlier one."""
    return {**{name: value for name, value in cache_inputs.items() if not name.startswith(READ)}, **read}
