"""CIFAR's binary records, from small archives written here."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from nacre.core.errors import ArgumentError, FileFormatError
from nacre.datasets import cifar10, cifar100


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NACRE_DATA", str(tmp_path))
    return tmp_path


def put(folder, name: str, members: dict[str, bytes]) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def record(*labels: int, seed: int) -> tuple[bytes, np.ndarray]:
    """A record and the image in it, written pixel by pixel as the format's page describes."""
    image = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    planes = [
        int(image[row, column, channel])
        for channel in range(3)
        for row in range(32)
        for column in range(32)
    ]
    return bytes([*labels, *planes]), image


def test_cifar10_joins_its_batches_in_order(folder):
    records = {n: record(n, seed=n) for n in range(6)}
    members = {f"cifar-10-batches-bin/data_batch_{n}.bin": records[n][0] for n in (5, 1, 2, 3, 4)}
    members["cifar-10-batches-bin/test_batch.bin"] = records[0][0] * 2
    put(folder, "cifar10/cifar-10-binary.tar.gz", members)
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    np.testing.assert_array_equal(y_train, [[1], [2], [3], [4], [5]])
    np.testing.assert_array_equal(x_train, np.stack([records[n][1] for n in range(1, 6)]))
    assert y_test.tolist() == [[0], [0]] and x_test.shape == (2, 32, 32, 3)
    assert x_train.dtype == y_train.dtype == np.uint8 and x_train.flags.writeable
    assert len(cifar10.CLASS_NAMES) == 10


def test_cifar100_has_two_kinds_of_labels(folder):
    train, image = record(7, 70, seed=0)
    test, _ = record(8, 80, seed=1)
    put(folder, "cifar100/cifar-100-binary.tar.gz", {"c/train.bin": train, "c/test.bin": test})
    (x_train, fine), (_, fine_test) = cifar100.load_data()
    (_, coarse), (_, coarse_test) = cifar100.load_data(label_mode="coarse")
    np.testing.assert_array_equal(x_train[0], image)
    assert (fine.tolist(), fine_test.tolist()) == ([[70]], [[80]])
    assert (coarse.tolist(), coarse_test.tolist()) == ([[7]], [[8]])
    with pytest.raises(ArgumentError, match="'coarse' or 'fine'"):
        cifar100.load_data("both")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"train\.bin of records of 3074 bytes\n  Received: 0 bytes"),
        (b"", "Received: 0 bytes"),
        (record(7, 70, seed=0)[0][:-1], "Received: 3073 bytes"),
        (record(7, 100, seed=0)[0], "labels below 100\n  Received: a label 100"),
        (record(20, 1, seed=0)[0], "labels below 20"),
    ],
)
def test_damaged_records(folder, content, message):
    members = {"c/test.bin": record(8, 80, seed=1)[0]}
    if content is not None:
        members["c/train.bin"] = content
    put(folder, "cifar100/cifar-100-binary.tar.gz", members)
    with pytest.raises(FileFormatError, match=message):
        cifar100.load_data()
