"""Boston housing: 506 districts of 1970s Boston and the median price of a house there."""

from __future__ import annotations

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.splitting import Split, shuffled_split

__all__ = ["FEATURE_NAMES", "load_data"]

FEATURE_NAMES = (
    "CRIM",
    "ZN",
    "INDUS",
    "CHAS",
    "NOX",
    "RM",
    "AGE",
    "DIS",
    "RAD",
    "TAX",
    "PTRATIO",
    "B",
    "LSTAT",
)
MOST_BYTES = 1 << 20
FILE = DataFile(
    folder="tabular",
    name="boston_housing.data",
    checksum=Checksum("sha256", "e3e36f7b9e5435f9eb8320e106aebad00031fefa3064527da0c71dec59e49b76"),
    size=49_081,
    mirrors=(
        "https://archive.ics.uci.edu/ml/machine-learning-databases/housing/housing.data",
        "https://raw.githubusercontent.com/jbrownlee/Datasets/master/housing.data",
    ),
    homepage="https://archive.ics.uci.edu/ml/machine-learning-databases/housing/",
)


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Split, Split]:
    """Load the districts and split them at random.

    Args:
        test_split: the share of the 506 districts that is kept for testing.
        seed: the seed of the split.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: features of shape ``(N, 13)``, float64, named by
        :data:`FEATURE_NAMES`, and prices of shape ``(N,)``, float64, in thousands of dollars.

    Raises:
        ArgumentError: if ``test_split`` is not in ``[0, 1)``.
        DownloadError: if the file is nowhere and no mirror answers.
        FileFormatError: if the file is damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, float(y_train[0])  # doctest: +SKIP
        ((404, 13), 15.2)

    Note:
        The column B is a formula over the share of Black inhabitants, and the data set's authors
        assumed that it affects prices. Use it to see how such a column gets into a model, not as a
        model of houses.

    Reference:
        D. Harrison, D. L. Rubinfeld: Hedonic housing prices and the demand for clean air. Journal
        of Environmental Economics and Management 5 (1978).
    """
    table = _read_table()
    return shuffled_split(table[:, :-1], table[:, -1], test_split, seed)


def _read_table() -> np.ndarray:
    path = FILE.fetch()
    columns = len(FEATURE_NAMES) + 1
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        # The original folds each record over two lines, so only the order of the numbers counts.
        numbers = np.array(path.read_text("ascii").split(), np.float64)
        if numbers.size == 0 or numbers.size % columns:
            raise ValueError(f"it holds {numbers.size} numbers")
    except ValueError as error:
        raise FileFormatError(
            explain(
                f"{str(path)!r} is not the Boston housing table: {error}.",
                expected=f"a multiple of {columns} numbers",
                fix="replace it by an intact copy.",
            )
        ) from None
    return numbers.reshape(-1, columns)
