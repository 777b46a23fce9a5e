"""Recognize files that are not CSV by their first line."""

from __future__ import annotations

_CONVERT = "save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW.csv"
_UNPACK = "unpack it and give the CSV"
_EXPORT = "export it as CSV"
_BEGINNINGS = {
    b"\xff\xfe": ("is UTF-16", _CONVERT),
    b"\xfe\xff": ("is UTF-16", _CONVERT),
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "get the file: git lfs pull"),
    b"PAR1": ("is a Parquet file", _EXPORT),
    b"PK\x03\x04": ("is a zip archive or an Excel workbook", _UNPACK),
    b"\x1f\x8b": ("is packed with gzip once more", _UNPACK),
    b"BZh": ("is packed with bzip2", _UNPACK),
    b"\xfd7zXZ": ("is packed with xz", _UNPACK),
    b"(\xb5/\xfd": ("is packed with Zstandard", _UNPACK),
    b"7z\xbc\xaf": ("is a 7z archive", _UNPACK),
    b"\xd0\xcf\x11\xe0": ("is an old Excel workbook", _EXPORT),
    b"SQLite format 3": ("is an SQLite database", _EXPORT),
}
_COMMAS = "save it with commas between the cells"


def foreign(header: list[str]) -> tuple[str, str] | None:
    """Return the kind of a file with this first line, and a remedy; None if it may be a CSV with other columns."""
    line = ",".join(header)
    first_bytes = line[:64].encode("utf-8", "surrogateescape")
    for beginning, described in _BEGINNINGS.items():
        if first_bytes.startswith(beginning):
            return described
    if "ustar" in line and "\0" in line:
        return "is a tar archive", _UNPACK
    if line.lower().startswith("sep="):
        return "begins with Excel's sep= line", "take that line out, and " + _COMMAS
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if line.count(separator) > line.count(","):
            return f"has {name} between the cells", _COMMAS
    return None
