"""The examples of each workload, prepared once by the runner and read by every framework alike."""

from __future__ import annotations

import compileall
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["load", "prepare"]

Arrays = tuple[np.ndarray, np.ndarray]


def prepare(folder: Path) -> str:
    """Write what the workloads need into ``folder``; say where the digits come from.

    Only this imports Nacre, so that no peer's process does.
    """
    import nacre
    from nacre.datasets import iris, mnist
    from nacre.datasets.download import DownloadError

    compileall.compile_dir(Path(nacre.__file__).parent, quiet=1)  # as pip does for the peers
    try:
        (x, y), (x_test, y_test) = mnist.load_data()
        source = "MNIST"
    except DownloadError:
        random = np.random.default_rng(0)
        x, x_test = (random.integers(0, 256, (n, 28, 28), np.uint8) for n in (60000, 10000))
        y, y_test = (random.integers(0, 10, n, np.uint8) for n in (60000, 10000))
        source = "random numbers in the shape of MNIST, which was not to be had"
    np.savez(folder / "mnist.npz", x=x, y=y, x_test=x_test, y_test=y_test)
    try:
        (x, y), _ = iris.load_data(test_split=0)
    except DownloadError:
        random = np.random.default_rng(0)
        x, y = random.standard_normal((150, 4), np.float32), random.integers(0, 3, 150)
        source += "; random numbers in the shape of iris"
    np.savez(folder / "iris.npz", x=x, y=y)
    return source


def load(name: str, folder: Path, examples: int | None = None) -> dict[str, Arrays]:
    """The examples by the name of their function here: inputs and numbers of classes."""
    sets: dict[str, Arrays] = globals()[name](folder)
    return {key: (x[:examples], y[:examples]) for key, (x, y) in sets.items()}


def _scaled(images: np.ndarray, *shape: int) -> np.ndarray:
    return images.reshape(len(images), *shape).astype(np.float32) / np.float32(255)


def digits(folder: Path, *shape: int) -> dict[str, Arrays]:
    with np.load(folder / "mnist.npz") as file:
        shape = shape or (28 * 28,)
        return {
            "train": (_scaled(file["x"], *shape), file["y"].astype(np.int32)),
            "test": (_scaled(file["x_test"], *shape), file["y_test"].astype(np.int32)),
        }


def images(folder: Path) -> dict[str, Arrays]:
    return digits(folder, 28, 28, 1)


def iris(folder: Path) -> dict[str, Arrays]:
    with np.load(folder / "iris.npz") as file:
        return {"train": (file["x"].astype(np.float32), file["y"].astype(np.int32))}


def sequences(folder: Path) -> dict[str, Arrays]:
    return _random(1024, 50, 32)


def long_sequences(folder: Path) -> dict[str, Arrays]:
    return _random(320, 100, 128)


def thumbnails(folder: Path) -> dict[str, Arrays]:
    return _random(320, 32, 32, 3)


def small_photos(folder: Path) -> dict[str, Arrays]:
    return _random(640, 64, 64, 3)


def photos(folder: Path) -> dict[str, Arrays]:
    return _random(16, 224, 224, 3)


def on_disk(folder: Path) -> dict[str, Arrays]:
    """Random numbers in the shape of digits, mapped from a file of 320 MiB; written once."""
    path, count, width, block = folder / "on_disk.bin", 107_000, 28 * 28, 1000
    random = np.random.default_rng(0)
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(count // block):
                random.random((block, width), np.float32).tofile(file)
    x = np.memmap(path, np.float32, "r", shape=(count, width))
    return {"train": (x, random.integers(0, 10, count, np.int32))}


def narrow(folder: Path) -> dict[str, Arrays]:
    return _random(3200, 16)


def _random(count: int, *shape: int) -> dict[str, Arrays]:
    random: Any = np.random.default_rng(0)
    x = random.standard_normal((count, *shape), np.float32)
    return {"train": (x, random.integers(0, 10, count, np.int32))}
