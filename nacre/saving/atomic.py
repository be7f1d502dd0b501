"""Writing a file so that it is there as a whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nacre.core.errors import explain

__all__ = ["atomic_write", "remove_leftovers"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write; it takes the place of ``path`` when the block ends without an error.

    The content goes to a file beside ``path``, reaches the disk, and is renamed. When anything
    fails before that, what was at ``path`` is untouched and nothing is left behind.

    Args:
        path: the file. If it is a link, what it points to is replaced.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the disk is full, for instance.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            explain(
                f"There is no folder {str(target.parent)!r} to write {target.name!r} to.",
                fix="make it first, with os.makedirs(..., exist_ok=True).",
            )
        )
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _sync_folder(target.parent)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what writers of ``path`` that were killed have left beside it.

    The file's name may be a pattern, with ``*`` for any text. No other process may be writing it.
    """
    folder, name = os.path.split(os.path.realpath(path))
    for leftover in Path(folder).glob(f".{name}.*.part"):
        with suppress(OSError):
            leftover.unlink()


def _sync_folder(folder: Path) -> None:
    """Let the new name in a folder survive a loss of power, where folders can be opened at all."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
