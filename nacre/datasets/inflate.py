"""Reading a file that may be gzip-compressed, without trusting it.

No more than a stated number of bytes ever comes out, so a file that unpacks to terabytes costs
neither memory nor time.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from types import TracebackType

from nacre.core.errors import FileFormatError, explain

__all__ = ["Inflated"]

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # 15 bits of window, and 16 for a gzip header and checksum
CHUNK = 1 << 18


class Inflated:
    """The bytes of a file, decompressed on the way if it is a gzip file.

    Args:
        path: the file.
        limit: the most bytes that may come out before the file is refused.

    Raises:
        FileFormatError: from ``read``, if the compressed data is damaged or cut short, if its
            checksum is wrong, or if more than ``limit`` bytes come out.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self.position = 0
        self._file = open(path, "rb")  # noqa: SIM115  closed by __exit__
        self._compressed = self._file.read(2) == GZIP_MAGIC
        self._file.seek(0)
        self._inflater = zlib.decompressobj(GZIP_WINDOW)
        self._pending = b""

    def __enter__(self) -> Inflated:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none only at the end of the file."""
        piece = self._inflate(size) if self._compressed else self._file.read(size)
        self.position += len(piece)
        if self.position > self.limit:
            raise self.damaged(f"holds more than the {self.limit:,} bytes that it may")
        return piece

    def read_exactly(self, size: int, what: str) -> bytes:
        """``size`` bytes, gathered as they come: a claimed size alone allocates nothing."""
        pieces, missing = [], size
        while missing:
            piece = self.read(min(missing, CHUNK))
            if not piece:
                raise self.damaged(f"ends {missing:,} bytes too early, inside {what}")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def skip(self, size: int, what: str) -> None:
        """Pass over ``size`` bytes."""
        while size:
            piece = self.read(min(size, CHUNK))
            if not piece:
                raise self.damaged(f"ends {size:,} bytes too early, inside {what}")
            size -= len(piece)

    def drain(self) -> None:
        """Read to the end, so that a checksum there is compared."""
        while self.read(CHUNK):
            pass

    def _inflate(self, size: int) -> bytes:
        while True:
            chunk = self._pending or self._file.read(CHUNK)
            if self._inflater.eof:
                if not chunk:
                    return b""
                self._inflater = zlib.decompressobj(GZIP_WINDOW)  # a file may hold several members
            elif not chunk:
                raise self.damaged("is compressed, and its end is missing")
            try:
                piece = self._inflater.decompress(chunk, size)
            except zlib.error as error:
                raise self.damaged(f"cannot be decompressed ({error})") from None
            self._pending = self._inflater.unconsumed_tail or self._inflater.unused_data
            if piece:
                return piece

    def damaged(self, problem: str) -> FileFormatError:
        """The error for this file."""
        return FileFormatError(
            explain(
                f"The data file {str(self.path)!r} {problem}.",
                fix="delete the file and load the data set again, or replace it by an intact copy.",
            )
        )
