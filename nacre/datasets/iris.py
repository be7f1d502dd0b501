"""Iris: 150 flowers of three species, measured in centimetres."""

from __future__ import annotations

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.splitting import Split, shuffled_split
from nacre.datasets.tables import read_columns

__all__ = ["CLASS_NAMES", "FEATURE_NAMES", "load_data"]

CLASS_NAMES = ("setosa", "versicolor", "virginica")
FEATURE_NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
FILE = DataFile(
    folder="tabular",
    name="iris.csv",
    checksum=Checksum("sha256", "9cc1c345c71bcc9b486b74cbf6063fa66f4bb5e0f603a4b3c3471ec2e5e8e355"),
    size=3_858,
    mirrors=("https://raw.githubusercontent.com/mwaskom/seaborn-data/master/iris.csv",),
    homepage="https://github.com/mwaskom/seaborn-data",
)


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Split, Split]:
    """Load the flowers and split them at random.

    Args:
        test_split: the share of the 150 flowers that is kept for testing; 0 keeps none.
        seed: the seed of the split.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: measurements of shape ``(N, 4)``, float32, named
        by :data:`FEATURE_NAMES`, and species of shape ``(N,)``, int64, named by
        :data:`CLASS_NAMES`.

    Raises:
        ArgumentError: if ``test_split`` is not in ``[0, 1)``.
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if the file is damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, x_test.shape  # doctest: +SKIP
        ((120, 4), (30, 4))

    Reference:
        R. A. Fisher: The use of multiple measurements in taxonomic problems. Annals of Eugenics 7
        (1936).
    """
    path = FILE.fetch()
    columns = read_columns(path, (*FEATURE_NAMES, "species"))
    try:
        x = np.array([columns[name] for name in FEATURE_NAMES]).astype(np.float32).T  # (N, 4)
        y = np.array([CLASS_NAMES.index(name) for name in columns["species"]], np.int64)
    except ValueError as error:
        raise FileFormatError(
            explain(
                f"The table {str(path)!r} cannot be read: {error}.",
                expected="four numbers and a species in each row",
            )
        ) from None
    return shuffled_split(x, y, test_split, seed)
