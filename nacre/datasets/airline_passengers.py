"""Airline passengers: thousands of travellers a month, 1949 to 1960."""

from __future__ import annotations

import numpy as np

from nacre.datasets.download import Checksum
from nacre.datasets.files import DataFile
from nacre.datasets.time_series import load_series

__all__ = ["load_data"]

FILE = DataFile(
    folder="tabular",
    name="airline-passengers.csv",
    checksum=Checksum("sha256", "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621"),
    size=2_180,
    mirrors=("https://raw.githubusercontent.com/jbrownlee/Datasets/master/airline-passengers.csv",),
    homepage="https://github.com/jbrownlee/Datasets",
)


def load_data() -> tuple[np.ndarray, np.ndarray]:
    """Load the series; it is in order of time and is not split.

    Returns:
        ``(months, passengers)``: 144 months, datetime64[M], and thousands of passengers, float32,
        both of shape ``(144,)``.

    Raises:
        DownloadError: if the file is nowhere and cannot be downloaded.
        FileFormatError: if the file is damaged.

    Example:
        >>> months, passengers = load_data()  # doctest: +SKIP
        >>> str(months[0]), float(passengers[0])  # doctest: +SKIP
        ('1949-01', 112.0)

    Reference:
        G. E. P. Box, G. M. Jenkins: Time series analysis, forecasting and control (1970), series G.
    """
    return load_series(FILE, "Month", "Passengers", "M")
