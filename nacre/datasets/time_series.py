"""Reading a table of dates and values."""

from __future__ import annotations

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.datasets.files import DataFile
from nacre.datasets.tables import read_columns

__all__ = ["load_series"]


def load_series(
    file: DataFile, date_column: str, value_column: str, unit: str
) -> tuple[np.ndarray, np.ndarray]:
    """The dates (datetime64 of ``unit``) and the values (float32), both of shape ``(N,)``."""
    path = file.fetch()
    columns = read_columns(path, (date_column, value_column))
    try:
        dates = np.array(columns[date_column], f"datetime64[{unit}]")
        return dates, np.array(columns[value_column]).astype(np.float32)
    except ValueError as error:
        raise FileFormatError(
            explain(
                f"The table {str(path)!r} cannot be read: {error}.",
                expected="a date and a number in each row",
                fix="replace it by an intact copy.",
            )
        ) from None
