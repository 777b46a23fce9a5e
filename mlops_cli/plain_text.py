"""Clean text from outside (files, scripts, services): it can neither steer a terminal nor flood a message."""

from __future__ import annotations

import re
import unicodedata

MOST_CHARACTERS = 400
# Terminal sequences: CSI (colours, cursor), strings up to their terminator (OSC: titles, links, clipboard; DCS, SOS,
# PM, APC), and the short ones. Each also in its one-byte form.
_STRING = r"[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
SEQUENCE = re.compile(
    rf"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]){_STRING}|\x1b[ -/]*[0-~]"
)
# Marks that change the direction of the text around them: a name could look like another one.
DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
UNSAFE_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """Return the text with all terminal control characters escaped. Newlines and tabs stay."""
    return _escaped(text, "\n\t")


def one_line(text: str) -> str:
    """Return ``printable`` text for the middle of a line: newlines and tabs are escaped, too."""
    return _escaped(text, "")


def log_line(text: str) -> str:
    """Return one line of a program's output without terminal sequences and control characters."""
    visible = SEQUENCE.sub("", text)
    return printable("".join(character for character in visible if character == "\t" or not _is_control(character)))


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return the text; if it is too long, only its beginning and its length."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _escaped(text: str, kept: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character in kept or not _is_unsafe(character) else _code(character) for character in text
    )


def _code(character: str) -> str:
    """Return the escape of a character; for a byte that could not be decoded, the byte's escape."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _is_unsafe(character: str) -> bool:
    return character in DIRECTION_MARKS or unicodedata.category(character) in UNSAFE_CATEGORIES
