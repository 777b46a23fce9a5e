"""Split a dataset.csv into several files, for the instances of a job."""

from __future__ import annotations

from pathlib import Path


def split(source: Path, count: int, folder: Path) -> list[Path]:
    """Write the rows of ``source``, in order, to ``count`` files of about equal size, each with the header.

    With a small dataset the last files may have only the header. A line end inside of quotes does not end a row.
    """
    paths = [folder / f"dataset-{number:05d}.csv" for number in range(1, count + 1)]
    size = -(-source.stat().st_size // count)
    with source.open("rb") as lines:
        header = next(lines, b"")
        for path in paths:
            with path.open("wb") as shard:
                shard.write(header)
                quoted = False
                # The last file gets the remainder. The headers make the other files a little larger.
                while (shard.tell() < size or quoted or path == paths[-1]) and (line := next(lines, b"")):
                    quoted ^= line.count(b'"') % 2 == 1
                    shard.write(line)
    return paths
