"""The idx format of the MNIST files.

Four bytes (two zeros, the type of an element, the number of dimensions), each dimension as a
big-endian 32-bit number, then the elements. Nothing in the header is trusted: see
:func:`read_idx`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nacre.datasets.inflate import CHUNK, Inflated

__all__ = ["read_idx"]

ELEMENT_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 8
MOST_BYTES = 1 << 31
DEFLATE_RATIO = 1032  # the most that one byte of deflate can grow to


def read_idx(path: Path, most_bytes: int = MOST_BYTES) -> np.ndarray:
    """Read an idx file, compressed with gzip or not.

    Args:
        path: the file.
        most_bytes: the most bytes that the array may have.

    Returns:
        The array, in the machine's byte order, writable.

    Raises:
        FileFormatError: if the file is not idx, is cut short, is larger than allowed, or goes on
            after the last element.
    """
    with Inflated(path, limit=most_bytes + 1024) as stream:
        dtype, shape = _read_header(stream)
        size = math.prod(shape) * dtype.itemsize
        could_hold = DEFLATE_RATIO * (path.stat().st_size + 1)
        # A dimension of zero must not hide others that are beyond any array.
        largest = math.prod(max(length, 1) for length in shape) * dtype.itemsize
        if max(size, largest) > min(most_bytes, could_hold):
            raise stream.damaged(
                f"claims to hold an array of shape {shape}, {size:,} bytes, which it cannot"
            )
        array = np.empty(shape, dtype)
        _fill(array.reshape(-1).view(np.uint8), stream)
        if stream.read(1):
            raise stream.damaged(f"goes on after the array of shape {shape} that it holds")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: Inflated) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read_exactly(4, "the header")
    if magic[:2] != b"\0\0" or magic[2] not in ELEMENT_TYPES:
        raise stream.damaged(f"is not an idx file: it begins with the bytes {magic.hex(' ')}")
    dimensions = magic[3]
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise stream.damaged(f"claims to hold an array of {dimensions} dimensions")
    sizes = np.frombuffer(stream.read_exactly(4 * dimensions, "the header"), ">u4")
    return np.dtype(ELEMENT_TYPES[magic[2]]), tuple(int(size) for size in sizes)


def _fill(buffer: np.ndarray, stream: Inflated) -> None:
    filled = 0
    while filled < buffer.size:
        piece = stream.read(min(CHUNK, buffer.size - filled))
        if not piece:
            raise stream.damaged(f"ends after {filled:,} of the {buffer.size:,} bytes of its array")
        buffer[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
