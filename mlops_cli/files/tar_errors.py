"""The exceptions of tarfile for a damaged or malicious archive: not only TarError.

A number in a header that is none is a ValueError, one of many digits an OverflowError, a chain of headers about headers
a RecursionError.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib

MALFORMED = (tarfile.TarError, ValueError, OverflowError, RecursionError)
UNREADABLE = (*MALFORMED, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
