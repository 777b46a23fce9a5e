"""#{namespace.name} in an action's configuration: find and replace such references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

REFERENCE = re.compile(r"#\{([^{}]*)\}")


class UnresolvedError(Exception):
    """A reference to a missing variable."""


def references(text: str) -> Iterator[tuple[str, str]]:
    """Return (namespace, name) for every reference in a configuration value."""
    for match in REFERENCE.finditer(text):
        namespace, _, name = match[1].partition(".")
        yield namespace, name


def resolved(text: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text with every reference replaced by ``values[namespace][name]``. Raise UnresolvedError."""

    def fill(match: re.Match[str]) -> str:
        namespace, _, name = match[1].partition(".")
        try:
            return values[namespace][name]
        except KeyError as error:
            raise UnresolvedError(f"Unresolved variable in action configuration: #{{{match[1]}}}") from error

    return REFERENCE.sub(fill, text)
