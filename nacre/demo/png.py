"""Small grey pictures inside a page: PNG by the book, as data addresses."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

__all__ = ["data_address", "encode_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY = 0


def encode_png(image: np.ndarray) -> bytes:
    """A grey image of shape ``(height, width)``, uint8, as a PNG file."""
    height, width = image.shape
    # Each row begins with its filter; 0 leaves the pixels as they are.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.astype(np.uint8)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, GREY, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def data_address(image: np.ndarray) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
