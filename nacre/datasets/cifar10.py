"""CIFAR-10: 60,000 colour photographs of ten kinds of things, 32 x 32."""

from __future__ import annotations

from nacre.datasets.cifar_records import read_records
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.splitting import Split

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]
TEST = ["test_batch.bin"]
FILE = DataFile(
    folder="cifar10",
    name="cifar-10-binary.tar.gz",
    checksum=Checksum("sha256", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    size=170_052_171,
    mirrors=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
)


def load_data() -> tuple[Split, Split]:
    """Load the photographs: 50,000 to train on and 10,000 to test with.

    They are looked for in ``$NACRE_DATA/cifar10``, then in the user's cache, then downloaded, in
    the set's binary form. :data:`CLASS_NAMES` names the classes.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images of shape ``(N, 32, 32, 3)``, uint8 from 0
        to 255, and classes of shape ``(N, 1)``, uint8 from 0 to 9.

    Raises:
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if it is damaged.

    Example:
        >>> (x_train, y_train), _ = load_data()  # doctest: +SKIP
        >>> x_train.shape, CLASS_NAMES[y_train[0, 0]]  # doctest: +SKIP
        ((50000, 32, 32, 3), 'frog')

    Reference:
        A. Krizhevsky: Learning multiple layers of features from tiny images (2009).
    """
    path = FILE.fetch()
    x_train, y_train = read_records(path, TRAIN, (len(CLASS_NAMES),))
    x_test, y_test = read_records(path, TEST, (len(CLASS_NAMES),))
    return (x_train, y_train), (x_test, y_test)
