"""Titanic: who of 891 passengers survived."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.tables import read_columns

__all__ = ["load_data"]

COLUMNS: dict[str, Any] = {
    "survived": np.int64,
    "pclass": np.int64,
    "sex": np.str_,
    "age": np.float32,
    "sibsp": np.int64,
    "parch": np.int64,
    "fare": np.float32,
    "embarked": np.str_,
    "class": np.str_,
    "who": np.str_,
    "adult_male": np.bool_,
    "deck": np.str_,
    "embark_town": np.str_,
    "alive": np.str_,
    "alone": np.bool_,
}
ANSWERS = ("survived", "alive")
TRUTH = {"True": True, "False": False}
FILE = DataFile(
    folder="tabular",
    name="titanic.csv",
    checksum=Checksum("sha256", "81787d320d7f7b03df935e91de8bd19e11d45c5bbcab86ef4d4a76dc91b7d4f2"),
    size=57_018,
    mirrors=("https://raw.githubusercontent.com/mwaskom/seaborn-data/master/titanic.csv",),
    homepage="https://github.com/mwaskom/seaborn-data",
)


def load_data() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Load the passengers, in the order of the file and not split.

    Returns:
        ``(columns, survived)``: a dictionary of arrays of shape ``(891,)``: numbers (an unknown
        age is NaN), texts (an unknown text is empty) and truth values; and 1 for each passenger
        who survived, else 0, int64. The column ``alive`` repeats the answer and is left out.

    Raises:
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if the file is damaged.

    Example:
        >>> columns, survived = load_data()  # doctest: +SKIP
        >>> str(columns["sex"][0]), int(survived[0])  # doctest: +SKIP
        ('male', 0)

    Reference:
        The Encyclopedia Titanica, as collected by the seaborn project.
    """
    path = FILE.fetch()
    texts = read_columns(path, tuple(COLUMNS))
    try:
        columns = {name: _convert(texts[name], dtype) for name, dtype in COLUMNS.items()}
    except (ValueError, KeyError) as error:
        raise FileFormatError(
            explain(
                f"The table {str(path)!r} cannot be read: {error}.",
                fix="replace it by an intact copy.",
            )
        ) from None
    features = {name: column for name, column in columns.items() if name not in ANSWERS}
    return features, columns["survived"]


def _convert(texts: list[str], dtype: Any) -> np.ndarray:
    if dtype is np.bool_:
        return np.array([TRUTH[text] for text in texts])
    if dtype is np.float32:
        texts = [text or "nan" for text in texts]
    return np.array(texts).astype(dtype)
