"""CIFAR-100: 60,000 colour photographs of a hundred kinds of things, 32 x 32."""

from __future__ import annotations

from nacre.core.errors import ArgumentError, explain
from nacre.datasets.cifar_records import read_records
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.splitting import Split

__all__ = ["load_data"]

COARSE_CLASSES = 20
FINE_CLASSES = 100
LABEL_MODES = {"coarse": 1, "fine": 2}  # the place of the label after the images
FILE = DataFile(
    folder="cifar100",
    name="cifar-100-binary.tar.gz",
    checksum=Checksum("sha256", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    mirrors=("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
)


def load_data(label_mode: str = "fine") -> tuple[Split, Split]:
    """Load the photographs: 50,000 to train on and 10,000 to test with.

    They are looked for in ``$NACRE_DATA/cifar100``, then in the user's cache, then downloaded, in
    the set's binary form.

    Args:
        label_mode: ``"fine"`` for the 100 classes, ``"coarse"`` for the 20 groups of them.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images of shape ``(N, 32, 32, 3)``, uint8 from 0
        to 255, and classes of shape ``(N, 1)``, uint8.

    Raises:
        ArgumentError: for another ``label_mode``.
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if it is damaged.

    Example:
        >>> (x_train, y_train), _ = load_data()  # doctest: +SKIP
        >>> x_train.shape, y_train.shape  # doctest: +SKIP
        ((50000, 32, 32, 3), (50000, 1))

    Reference:
        A. Krizhevsky: Learning multiple layers of features from tiny images (2009).
    """
    if label_mode not in LABEL_MODES:
        raise ArgumentError(
            explain(
                "Unknown label_mode.",
                expected=" or ".join(map(repr, LABEL_MODES)),
                received=repr(label_mode),
            )
        )
    path, place = FILE.fetch(), LABEL_MODES[label_mode]
    train = read_records(path, ["train.bin"], (COARSE_CLASSES, FINE_CLASSES))
    test = read_records(path, ["test.bin"], (COARSE_CLASSES, FINE_CLASSES))
    return (train[0], train[place]), (test[0], test[place])
