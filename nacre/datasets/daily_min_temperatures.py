"""Daily minimum temperatures in Melbourne, 1981 to 1990."""

from __future__ import annotations

import numpy as np

from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.time_series import load_series

__all__ = ["load_data"]

FILE = DataFile(
    folder="tabular",
    name="daily-min-temperatures.csv",
    checksum=Checksum("sha256", "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da"),
    size=67_921,
    mirrors=(
        "https://raw.githubusercontent.com/jbrownlee/Datasets/master/daily-min-temperatures.csv",
    ),
    homepage="https://github.com/jbrownlee/Datasets",
)


def load_data() -> tuple[np.ndarray, np.ndarray]:
    """Load the series; it is in order of time and is not split.

    Returns:
        ``(days, temperatures)``: 3,650 days, datetime64[D] (29 February is left out), and degrees
        Celsius, float32, both of shape ``(3650,)``.

    Raises:
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if the file is damaged.

    Example:
        >>> days, temperatures = load_data()  # doctest: +SKIP
        >>> str(days[0]), float(temperatures[0])  # doctest: +SKIP
        ('1981-01-01', 20.7)

    Reference:
        Australian Bureau of Meteorology.
    """
    return load_series(FILE, "Date", "Temp", "D")
