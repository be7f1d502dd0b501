"""The binary form of CIFAR: records of one or two labels and a 32 x 32 colour image.

An image is three planes (red, green, blue) of 1,024 bytes each. The same sets also come as Python
pickles, which can run code when they are read; those are not touched.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.datasets.tar import read_tar

__all__ = ["read_records"]

SIDE = 32
CHANNELS = 3
PIXELS = SIDE * SIDE * CHANNELS
MOST_BYTES = 1 << 28


def read_records(path: Path, names: list[str], classes: tuple[int, ...]) -> list[np.ndarray]:
    """Read the images and labels of some files of an archive, one after another.

    Args:
        path: the archive.
        names: the files' names, without folders, in the order in which they are joined.
        classes: the number of classes of each of a record's labels.

    Returns:
        Images of shape ``(N, 32, 32, 3)``, then each label as an array of shape ``(N, 1)``, uint8.

    Raises:
        FileFormatError: if the archive is damaged, or lacks a file, or a file is no such thing.
    """
    found = {
        name.rpartition("/")[2]: content
        for name, content in read_tar(
            path,
            lambda name: name.rpartition("/")[2] in names,
            most_bytes=MOST_BYTES,
            most_file_bytes=MOST_BYTES,
        )
    }
    length = len(classes) + PIXELS
    for name in names:
        size = len(found.get(name, b""))
        if size == 0 or size % length:
            raise _unfit(path, f"{name} of records of {length} bytes", f"{size} bytes")
    joined = np.frombuffer(b"".join(found[name] for name in names), np.uint8)
    records = joined.reshape(-1, length)
    labels = [records[:, place : place + 1].copy() for place in range(len(classes))]  # (N, 1)
    for label, count in zip(labels, classes):
        if label.max() >= count:
            raise _unfit(path, f"labels below {count}", f"a label {label.max()}")
    planes = records[:, len(classes) :].reshape(-1, CHANNELS, SIDE, SIDE)
    return [np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), *labels]  # (N, 32, 32, 3)


def _unfit(path: Path, expected: str, received: str) -> FileFormatError:
    return FileFormatError(
        explain(
            f"{str(path)!r} does not hold CIFAR's images.",
            expected=expected,
            received=received,
            fix="delete the file and load the data set again, or replace it by an intact copy.",
        )
    )
