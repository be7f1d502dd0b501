"""How much memory the data may take: what fits lies on the device, what does not is streamed."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import jax

from nacre.core.errors import ArgumentError, explain

__all__ = ["chunk_size", "data_budget", "set_data_budget"]

SHARE = 4  # by default the data may take a quarter of the device's memory
LARGEST_CHUNK = 64 * 2**20  # bytes; handing over a chunk costs about 0.1 ms, so more gains nothing
GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

_budget: int | None = None


def set_data_budget(size: int | None) -> None:
    """Set how many bytes of data ``fit`` and ``evaluate`` may keep on the device.

    Arrays that take no more are placed there whole. Larger ones are streamed in chunks of at most
    64 MiB and half the budget, two at a time: one that is used and one that is prepared. The
    numbers are the same to the bit. Arrays on disk (``np.memmap``) are streamed unless they fit
    in one chunk.

    On a CPU the device's memory is the machine's. Arrays of 32 MiB and more are read where they
    lie, so what a callback writes into them counts from then on; smaller ones are copied.

    Args:
        size: bytes; None for the default, a quarter of the device's memory.

    Raises:
        ArgumentError: ``size`` is not a positive whole number.

    Example:
        >>> from nacre.data import data_budget, set_data_budget
        >>> set_data_budget(2**30)
        >>> data_budget()
        1073741824
        >>> set_data_budget(None)
    """
    global _budget
    if size is not None and (isinstance(size, bool) or int(size) != size or size < 1):
        raise ArgumentError(
            explain(
                "set_data_budget takes a number of bytes.",
                expected="a whole number >= 1, or None for the default",
                received=repr(size),
            )
        )
    _budget = None if size is None else int(size)


def data_budget() -> int:
    """The bytes of data that may lie on the device; see :func:`set_data_budget`."""
    return _device_memory() // SHARE if _budget is None else _budget


def chunk_size() -> int:
    """The bytes of a chunk: two of them fit in the budget."""
    return max(1, min(LARGEST_CHUNK, data_budget() // 2))


@functools.cache
def _device_memory() -> int:
    """The bytes that programs on the default device can use."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(memory, int(GROUP_LIMIT.read_text()))  # a container may have less
    except (OSError, ValueError):
        return memory
