"""Reading a small table of comma-separated values."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from nacre.core.errors import FileFormatError, explain

__all__ = ["read_columns"]

MOST_BYTES = 1 << 24


def read_columns(path: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    """The columns of a csv file whose first line is ``names``.

    Raises:
        FileFormatError: if the file is too large, is not text, or has other columns.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8")), strict=True))
        rows = [row for row in rows if row]
        if not rows or tuple(rows[0]) != names:
            raise ValueError(f"its first line is {rows[0] if rows else 'missing'}")
        for number, row in enumerate(rows[1:], 2):
            if len(row) != len(names):
                raise ValueError(f"row {number} has {len(row)} columns")
    except (ValueError, csv.Error) as error:
        raise FileFormatError(
            explain(
                f"The table {str(path)!r} cannot be read: {error}.",
                expected="the columns " + ", ".join(names),
                fix="replace it by an intact copy.",
            )
        ) from None
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(names)}
