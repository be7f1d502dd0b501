"""Where data sets lie: the folder the user names, then the user's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def data_folder() -> Path | None:
    """The folder that the environment variable ``NACRE_DATA`` names, or None.

    It holds one folder for each data set: ``mnist/train-images-idx3-ubyte.gz`` and so on. Nacre
    reads it and never writes to it.
    """
    named = os.environ.get("NACRE_DATA", "").strip()
    return Path(named).expanduser() if named else None


def cache_folder() -> Path:
    """The folder that downloads go to.

    ``NACRE_CACHE`` if it is set, else ``nacre`` in the place that the platform has for caches.
    """
    named = os.environ.get("NACRE_CACHE", "").strip()
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "").strip()
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "nacre" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nacre"
    home = os.environ.get("XDG_CACHE_HOME", "").strip()
    # The XDG specification says that a relative path is to be ignored.
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache"
    return base / "nacre"
