"""Images and their classes in the four files that MNIST began with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.idx import read_idx
from nacre.datasets.splitting import Split

__all__ = ["load_images", "pinned_files"]

CLASSES = 10


def pinned_files(
    folder: str, mirrors: tuple[str, ...], files: dict[str, tuple[int, str]]
) -> tuple[DataFile, ...]:
    """The files of a data set, from ``{name: (size, SHA-256)}`` and its mirrors' folders."""
    return tuple(
        DataFile(
            folder=folder,
            name=name,
            checksum=Checksum("sha256", digest),
            size=size,
            mirrors=tuple(mirror + name for mirror in mirrors),
        )
        for name, (size, digest) in files.items()
    )


def load_images(files: tuple[DataFile, ...]) -> tuple[Split, Split]:
    """Read the training images, their labels, the test images and theirs, in that order."""
    paths = [file.fetch() for file in files]
    with ThreadPoolExecutor(2) as pool:  # decompressing lets other threads run
        train_x, train_y, test_x, test_y = pool.map(read_idx, paths)
    _check(train_x, train_y, paths[0], paths[1])
    _check(test_x, test_y, paths[2], paths[3])
    return (train_x, train_y), (test_x, test_y)


def _check(images: np.ndarray, labels: np.ndarray, image_path: Path, label_path: Path) -> None:
    fits = (
        images.dtype == labels.dtype == np.uint8
        and images.ndim == 3
        and labels.shape == images.shape[:1]
        and (labels.size == 0 or labels.max() < CLASSES)
    )
    if not fits:
        raise FileFormatError(
            explain(
                f"{str(image_path)!r} and {str(label_path)!r} do not hold images and their labels.",
                expected=f"uint8 arrays (N, height, width) and (N,), labels below {CLASSES}",
                received=f"{images.dtype} {images.shape} and {labels.dtype} {labels.shape}",
                fix="replace them by intact copies of the same data set.",
            )
        )
