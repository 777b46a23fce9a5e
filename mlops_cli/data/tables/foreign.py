"""Recognize, by their beginning, files that are not CSV or not in the expected form."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNPACK = "unpack it and give the CSV"
_EXPORT = "export it as CSV"
_COMMAS = "save it with commas between the cells"
_ADDRESS = "give the address of the file itself"


def _convert(encoding: str) -> str:
    return f"save it as UTF-8: iconv -f {encoding} -t UTF-8 FILE > NEW.csv"


# The first match decides: UTF-32 begins as UTF-16 does.
_BEGINNINGS = {
    b"\xff\xfe\0\0": ("is UTF-32", _convert("UTF-32")),
    b"\0\0\xfe\xff": ("is UTF-32", _convert("UTF-32")),
    b"\xff\xfe": ("is UTF-16", _convert("UTF-16")),
    b"\xfe\xff": ("is UTF-16", _convert("UTF-16")),
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "get the file: git lfs pull"),
    b"/annex/objects/": ("is a git-annex pointer, not the file itself", "get the file: git annex get"),
    b"outs:": ("is a DVC pointer, not the file itself", "get the file: dvc pull"),
    b"PAR1": ("is a Parquet file", _EXPORT),
    b"ARROW1": ("is an Arrow or Feather file", _EXPORT),
    b"ORC": ("is an ORC file", _EXPORT),
    b"Obj\x01": ("is an Avro file", _EXPORT),
    b"\x89HDF": ("is an HDF5 file", _EXPORT),
    b"\x93NUMPY": ("is a NumPy array", _EXPORT),
    b"\x80\x02": ("is a Python pickle", _EXPORT),
    b"\x80\x03": ("is a Python pickle", _EXPORT),
    b"\x80\x04": ("is a Python pickle", _EXPORT),
    b"\x80\x05": ("is a Python pickle", _EXPORT),
    b"PK\x03\x04": ("is a zip archive or an Excel workbook", _UNPACK),
    b"\x1f\x8b": ("is compressed with gzip twice", _UNPACK),
    b"BZh": ("is packed with bzip2", _UNPACK),
    b"\xfd7zXZ": ("is packed with xz", _UNPACK),
    b"(\xb5/\xfd": ("is packed with Zstandard", _UNPACK),
    b"\x04\x22\x4d\x18": ("is packed with LZ4", _UNPACK),
    b"\x78\x01": ("is packed with zlib", _UNPACK),
    b"\x78\x9c": ("is packed with zlib", _UNPACK),
    b"\x78\xda": ("is packed with zlib", _UNPACK),
    b"7z\xbc\xaf": ("is a 7z archive", _UNPACK),
    b"Rar!": ("is a RAR archive", _UNPACK),
    b"\x7fELF": ("is a program", "give a table"),
    b"-----BEGIN ": ("is an encrypted or signed text", "decrypt it and give the CSV"),
    b"\xd0\xcf\x11\xe0": ("is an old Excel workbook", _EXPORT),
    b"SQLite format 3": ("is an SQLite database", _EXPORT),
    b"%PDF": ("is a PDF", _EXPORT),
    b"{\\rtf": ("is a text with formatting (RTF)", _EXPORT),
    b"\x89PNG": ("is a picture", "give a table"),
    b"\xff\xd8\xff": ("is a picture", "give a table"),
    b"#!": ("is a script", "give a table"),
}
# The first text that is not blank, in lower case.
_TEXTS = {
    "<?xml": ("is XML, perhaps a server's error message", _ADDRESS),
    "<": ("is a web page, not a CSV", _ADDRESS),
    "{": ("is JSON", _EXPORT),
    "[": ("is JSON", _EXPORT),
    "@relation": ("is an ARFF file", _EXPORT),
    "sep=": ("begins with Excel's sep= line", "remove that line, and " + _COMMAS),
}
_SEPARATORS = ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"))


def foreign(head: bytes) -> tuple[str, str] | None:
    """Return the format of a file with these first bytes, and a fix; None if it may be a CSV with other columns."""
    for beginning, described in _BEGINNINGS.items():
        if head.startswith(beginning):
            return described
    if re.match(rb"(?:[\x20-\x7e]\0){4}", head):
        return "is UTF-16", _convert("UTF-16LE")
    if re.match(rb"(?:\0[\x20-\x7e]){4}", head):
        return "is UTF-16", _convert("UTF-16BE")
    if b"ustar" in head and b"\0" in head:
        return "is a tar archive", _UNPACK
    text = head.decode("utf-8", "replace").lstrip("\ufeff\xa0 \t\r\n").lower()
    for first, described in _TEXTS.items():
        if text.startswith(first):
            return described
    line = text.partition("\n")[0]
    for separator, name in _SEPARATORS:
        if line.count(separator) > line.count(","):
            return f"has {name} between the cells", _COMMAS
    if "\0" in line:
        return "is a binary file, not a CSV", _EXPORT
    return None


def line_with_names(head: bytes, names: Sequence[str]) -> int | None:
    """Return the number, from 1, of the line that has all these names as cells; None if there is none."""
    lines = head.decode("utf-8", "replace").splitlines()
    cells = ({_plain(cell) for cell in line.split(",")} for line in lines)
    plain_names = {_plain(name) for name in names}
    return next((number for number, present in enumerate(cells, 1) if plain_names <= present), None)


def misspelled(header: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Return the header's columns that differ from missing ones only in blanks, quotes and case."""
    plain = {_plain(name): name for name in header}
    return {name: plain[_plain(name)] for name in missing if _plain(name) in plain}


def has_no_header(header: Sequence[str]) -> bool:
    """Return True if the first line contains numbers instead of names."""
    return any(re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", name) for name in header)


def _plain(name: str) -> str:
    return name.strip(" \t\ufeff'\"\xa0").casefold()
