"""The exceptions of tarfile for a damaged or malicious archive: more than TarError.

An invalid number in a header is a ValueError, a number with many digits an OverflowError, a chain of headers about
headers a RecursionError.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib

MALFORMED = (tarfile.TarError, ValueError, OverflowError, RecursionError)
UNREADABLE = (*MALFORMED, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
