"""The ingredients of a stage, by name, as one digest."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlops_cli.files.hashing import digest_bytes

# Ingredients that a run itself has shown: which files it has read beside those that are counted anyway.
FILE, FOLDER = "the file ", "the folder "


READ = (FILE, FOLDER)


def digest_of_ingredients(ingredients: Mapping[str, str]) -> str:
    """One digest for all ingredients together, whatever their order; what a run has read is compared by itself."""
    counted = {name: value for name, value in ingredients.items() if not name.startswith(READ)}
    return digest_bytes(json.dumps(counted, sort_keys=True).encode())


def with_reads(ingredients: Mapping[str, str], read: Mapping[str, str]) -> dict[str, str]:
    """The ingredients, with what the latest execution has read in the place of what an earlier one had."""
    return {**{name: value for name, value in ingredients.items() if not name.startswith(READ)}, **read}
