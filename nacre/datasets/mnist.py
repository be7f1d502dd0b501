"""MNIST: 70,000 handwritten digits, 28 x 28 grey."""

from __future__ import annotations

from nacre.datasets.labelled_images import load_images, pinned_files
from nacre.datasets.splitting import Split

__all__ = ["load_data"]

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
FILES = pinned_files(
    "mnist",
    MIRRORS,
    {
        "train-images-idx3-ubyte.gz": (
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        "train-labels-idx1-ubyte.gz": (
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        "t10k-images-idx3-ubyte.gz": (
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        "t10k-labels-idx1-ubyte.gz": (
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    },
)


def load_data() -> tuple[Split, Split]:
    """Load the digits: 60,000 to train on and 10,000 to test with.

    They are looked for in ``$NACRE_DATA/mnist``, then in the user's cache, then downloaded.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images of shape ``(N, 28, 28)``, uint8 from 0
        (paper) to 255 (ink), and digits of shape ``(N,)``, uint8 from 0 to 9.

    Raises:
        DownloadError: if the files are nowhere and no mirror answers.
        FileFormatError: if a file is damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, y_train[:5].tolist()  # doctest: +SKIP
        ((60000, 28, 28), [5, 0, 4, 1, 9])

    Reference:
        Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document
        recognition. Proceedings of the IEEE 86 (1998). Licence: CC BY-SA 3.0.
    """
    return load_images(FILES)
