"""Reading the files inside a tar archive, one after another, without trusting it.

Only plain files are read, and nothing is written to disk. Python's own ``tarfile`` reads the
sizes of extended headers into memory as they claim to be, and takes seconds for the 50,000 files
of the film reviews.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from nacre.datasets.inflate import Inflated

__all__ = ["read_tar"]

BLOCK = 512
PLAIN_FILE = (b"0", b"\0")
CHECKSUM = slice(148, 156)


def read_tar(
    path: Path, wanted: Callable[[str], bool], *, most_bytes: int, most_file_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """The name and content of each plain file for whose name ``wanted`` holds.

    Args:
        path: the archive, compressed with gzip or not.
        wanted: whether the file of this name is to be read.
        most_bytes: the most bytes that the whole archive may unpack to.
        most_file_bytes: the most bytes that a wanted file may have.

    Raises:
        FileFormatError: if the archive is damaged or cut short, or larger than allowed.
    """
    with Inflated(path, limit=most_bytes) as stream:
        while True:
            header = stream.read_exactly(BLOCK, "a file's header")
            if header == bytes(BLOCK):
                stream.drain()  # what follows is padding, and gzip's checksum of it all
                return
            name, size = _parse_header(header, stream)
            if size > most_bytes:
                raise stream.damaged(f"claims that {name!r} has {size:,} bytes")
            if header[156:157] in PLAIN_FILE and wanted(name):
                if size > most_file_bytes:
                    raise stream.damaged(f"claims that {name!r} has {size:,} bytes")
                yield name, stream.read_exactly(size, repr(name))
            else:
                stream.skip(size, repr(name))
            stream.skip(-size % BLOCK, repr(name))


def _parse_header(header: bytes, stream: Inflated) -> tuple[str, int]:
    blanked = bytearray(header)
    blanked[CHECKSUM] = b" " * 8  # the sum counts its own field as blanks
    try:
        stated = int(header[CHECKSUM].rstrip(b"\0 "), 8)
        size = int(header[124:136].rstrip(b"\0 ") or b"0", 8)
        name = header[:100].rstrip(b"\0").decode()
        prefix = header[345:500].rstrip(b"\0").decode() if header[257:263] == b"ustar\0" else ""
    except ValueError:
        raise stream.damaged("is not a tar archive, or is damaged") from None
    if stated != sum(blanked) or size < 0:
        raise stream.damaged("is not a tar archive, or is damaged: a header's checksum is wrong")
    return f"{prefix}/{name}" if prefix else name, size
