"""A file with the figures of every epoch."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from nacre.core.configurable import Configurable
from nacre.training.callbacks import Callback

__all__ = ["CSVLogger"]


class CSVLogger(Configurable, Callback):
    """Write the figures of each epoch as a row of a CSV file.

    The columns are ``epoch``, which counts from 0, and the figures' names in alphabetical order.

    Args:
        filename: the file; missing folders are made.
        separator: what stands between two columns.
        append: whether to go on where an existing file ends, instead of replacing it.

    Raises:
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from nacre.callbacks import CSVLogger
        >>> path = Path(tempfile.mkdtemp()) / "log.csv"
        >>> logger = CSVLogger(path)
        >>> logger.on_train_begin()
        >>> logger.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.6})
        >>> logger.on_train_end()
        >>> path.read_text().split()
        ['epoch,loss,val_loss', '0,0.5,0.6']
    """

    at_chunk_ends = True

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append
        self._file: TextIO | None = None
        self._names: list[str] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.release()
        path = Path(self.filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a" if self.append else "w", newline="", encoding="utf-8")
        self._names = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert self._file is not None
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator)
        if self._names is None:
            self._names = _columns(logs)
            if self._file.tell() == 0:
                writer.writerow(["epoch", *self._names])
        writer.writerow([epoch, *(_cell(logs.get(name, "NA")) for name in self._names)])
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.release()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _columns(logs: dict[str, Any]) -> list[str]:
    # With validation_freq the first epoch may have no validation, but later ones will.
    names = sorted(logs)
    if any(name.startswith("val_") for name in names):
        return names
    return names + [f"val_{name}" for name in names]


def _cell(value: Any) -> Any:
    if isinstance(value, str) or np.ndim(value) == 0 or not isinstance(value, Iterable):
        return value
    return f'"[{", ".join(map(str, value))}]"'
