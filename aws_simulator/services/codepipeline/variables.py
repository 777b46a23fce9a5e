"""#{namespace.name} in an action's configuration: its reference, and its value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

REFERENCE = re.compile(r"#\{([^{}]*)\}")


class UnresolvedError(Exception):
    """A reference to a missing variable."""


def references(text: str) -> Iterator[tuple[str, str]]:
    """(namespace, name) of every reference in a configuration value."""
    for match in REFERENCE.finditer(text):
        namespace, _, name = match[1].partition(".")
        yield namespace, name


def resolved(text: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """The text with every reference replaced by ``values[namespace][name]``; raises UnresolvedError."""

    def fill(match: re.Match[str]) -> str:
        namespace, _, name = match[1].partition(".")
        try:
            return values[namespace][name]
        except KeyError as error:
            raise UnresolvedError(f"Unresolved variable in action configuration: #{{{match[1]}}}") from error

    return REFERENCE.sub(fill, text)
