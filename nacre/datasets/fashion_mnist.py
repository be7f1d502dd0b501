"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28 grey."""

from __future__ import annotations

from nacre.datasets.labelled_images import load_images, pinned_files
from nacre.datasets.splitting import Split

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FILES = pinned_files(
    "fashion_mnist",
    MIRRORS,
    {
        "train-images-idx3-ubyte.gz": (
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        "train-labels-idx1-ubyte.gz": (
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        "t10k-images-idx3-ubyte.gz": (
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        "t10k-labels-idx1-ubyte.gz": (
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    },
)


def load_data() -> tuple[Split, Split]:
    """Load the pictures: 60,000 to train on and 10,000 to test with.

    They are looked for in ``$NACRE_DATA/fashion_mnist``, then in the user's cache, then
    downloaded. :data:`CLASS_NAMES` names the ten classes.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images of shape ``(N, 28, 28)``, uint8 from 0 to
        255, and classes of shape ``(N,)``, uint8 from 0 to 9.

    Raises:
        DownloadError: if the files are nowhere and no mirror answers.
        FileFormatError: if a file is damaged.

    Example:
        >>> (x_train, y_train), _ = load_data()  # doctest: +SKIP
        >>> CLASS_NAMES[y_train[0]]  # doctest: +SKIP
        'Ankle boot'

    Reference:
        H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking
        machine learning algorithms. arXiv:1708.07747 (2017). Licence: MIT.
    """
    return load_images(FILES)
