"""Streaming: a source yields windows, and each window holds some steps of an epoch.

A window is small enough that two of them fit in the budget, and of the same size throughout, so
that one compiled program serves them all. Its memory is that of the window before the last one: it
is lent until the next window is asked for.
"""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from nacre.data.arrays import Examples, Rows
from nacre.data.batches import Batches
from nacre.data.budget import chunk_size

__all__ = ["ArraySource", "BatchSource", "Source", "Window"]

ALIGNMENT = 64  # bytes; XLA's CPU backend uses memory as it is if it is aligned so

# Handing over a window costs about 0.1 ms; 64 steps make that little beside drawing the batches.
MOST_BATCHES = 64


class Window(NamedTuple):
    """Some steps of an epoch, on the device.

    Attributes:
        data: arrays with the examples along their first axis; rows past the last step are unused.
        order: the rows in the order in which the steps take them, or None for as they lie.
        size: the examples in a full step.
        remainder: the examples in the short step.
        full: the number of full steps.
        short: whether the short step follows them.
        ends: whether the epoch is known to end here.
    """

    data: dict[str, Any]
    order: np.ndarray | None
    size: int
    remainder: int
    full: int
    short: bool
    ends: bool

    @property
    def steps(self) -> int:
        """The number of steps, the short one included."""
        return self.full + self.short


class Source(Protocol):
    """What windows come from.

    Attributes:
        steps: the number of steps in an epoch, None if only the end will tell.
        looks_ahead: whether an epoch may be prepared before the one before it has ended.
    """

    steps: int | None
    looks_ahead: bool

    def windows(self, epoch: int, step: int, hurry: Callable[[], bool]) -> Iterator[Window]:
        """The windows of an epoch, from a step on.

        Args:
            epoch: the number of the epoch.
            step: the first step.
            hurry: whether somebody is waiting for a window, even one that is not full.
        """
        ...

    def partial(self) -> Window | None:
        """What there is of the next window, if its maker is held up; from another thread."""
        ...

    def release(self) -> None:
        """Give back the memory of the windows, once none of them is used any more."""
        ...


class ArraySource:
    """Windows of arrays, in the order in which a run over the whole arrays takes the examples.

    Args:
        examples: the arrays.
        size: the examples in a step.
        order: the order of the examples in each pass over them, or None to take them as they lie.
        steps: the steps in an epoch, by default those of one pass. Passes follow one another.
    """

    looks_ahead = True

    def __init__(
        self,
        examples: Examples,
        size: int,
        order: Callable[[int], np.ndarray] | None,
        steps: int | None = None,
    ) -> None:
        self.arrays, self.count = examples
        self.size = min(size, self.count)
        self.full_steps, self.remainder = divmod(self.count, self.size)
        self.pass_steps = self.full_steps + bool(self.remainder)
        self.steps: int | None = steps or self.pass_steps
        self.order = order
        leaves = jax.tree.leaves(self.arrays)
        bytes_of_step = sum(leaf.nbytes for leaf in leaves) * self.size // self.count
        self.capacity = min(self.full_steps, max(1, chunk_size() // max(1, bytes_of_step)))
        self._on_disk = any(isinstance(leaf, Rows) and leaf.on_disk for leaf in leaves)
        self._memory = Memory()

    def windows(self, epoch: int, step: int, hurry: Callable[[], bool]) -> Iterator[Window]:
        assert self.steps is not None
        shuffled: tuple[int, np.ndarray | None] = (-1, None)
        while step < self.steps:
            turn, first = divmod(epoch * self.steps + step, self.pass_steps)
            if turn != shuffled[0]:
                shuffled = turn, None if self.order is None else self.order(turn)
            limit = min(self.pass_steps, first + self.steps - step)
            last = min(first + self.capacity, self.full_steps, limit)
            if last == self.full_steps:
                last = limit  # the short step goes with the full step before it
            step += last - first
            yield self._window(shuffled[1], first, last, step == self.steps)

    def partial(self) -> Window | None:
        return None

    def release(self) -> None:
        self._memory = Memory()

    def _window(self, order: np.ndarray | None, first: int, last: int, ends: bool) -> Window:
        """Steps ``first`` to ``last`` of a pass."""
        full = min(last, self.full_steps) - min(first, self.full_steps)
        start, stop = first * self.size, min(last * self.size, self.count)
        rows: Any = slice(start, stop)
        places = None
        if order is not None:
            rows, places = order[start:stop], np.zeros(self._rows, np.int32)
            if self._on_disk:  # read in the order of the file, and taken in the order of the pass
                sorting = np.argsort(rows)
                rows = rows[sorting]
                places[sorting] = np.arange(len(rows), dtype=np.int32)
            else:
                places[: len(rows)] = np.arange(len(rows), dtype=np.int32)
        buffers = self._memory.next(self.arrays, self._rows)
        filled = stop - start
        jax.tree.map(lambda a, into: _read(a, rows, into[:filled]), self.arrays, buffers)
        data = on_device(buffers)
        return Window(data, places, self.size, self.remainder, full, last > self.full_steps, ends)

    @property
    def _rows(self) -> int:
        return self.capacity * self.size + self.remainder


class BatchSource:
    """Windows of batches that somebody else makes: batches of the same size in one window.

    Args:
        batches: what makes them.
        steps: the steps in an epoch; by default an epoch ends when the batches end. Epochs then
            go on where the one before stopped, and begin anew when the batches end.

    Attributes:
        exhausted: whether the batches have ended and cannot begin anew.
    """

    looks_ahead = False

    def __init__(self, batches: Batches, steps: int | None = None) -> None:
        self.batches = batches
        self.steps = steps or batches.count
        self.exhausted = False
        self._limit = steps
        self._running: Iterator[dict[str, Any]] | None = None
        self._begun = 0
        self._memory = Memory()
        self._group: Group | None = None
        self._filling = threading.Lock()

    def windows(self, epoch: int, step: int, hurry: Callable[[], bool]) -> Iterator[Window]:
        self._group = group = Group(self._memory)
        batches = self._drawn(epoch, step)
        error: Exception | None = None
        while True:
            try:
                batch = next(batches, None)
            except Exception as raised:  # what came before it is trained on first
                error, batch = raised, None
            with self._filling:
                due = group.filled and (batch is None or not group.fits(batch))
                window = group.window(ends=False) if due else None
            if window is not None:
                yield window
            if batch is None:
                break
            step += 1
            with self._filling:
                group.add(batch)
                ends = step == self._limit
                window = group.window(ends) if ends or group.full or hurry() else None
            if window is not None:
                yield window
        if error is not None:
            raise error

    def partial(self) -> Window | None:
        with self._filling:
            group = self._group
            return group.window(ends=False) if group is not None and group.filled else None

    def release(self) -> None:
        self._memory = Memory()

    def _drawn(self, epoch: int, step: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch; none is drawn past its last one."""
        if self._limit is None:
            batches = self.batches.begin(epoch)
            for _ in range(step):
                next(batches, None)
            yield from batches
            self.exhausted = self.batches.once
            return
        drawn = step
        while drawn < self._limit and not self.exhausted:
            begins = self._running is None
            if self._running is None:
                self._running = self.batches.begin(self._begun)
                self._begun += 1
            batch = next(self._running, None)
            if batch is not None:
                drawn += 1
                yield batch
            else:
                self._running = None
                self.exhausted = begins or self.batches.once


class Group:
    """Batches of one size and type, gathered in memory until they are handed over.

    Args:
        memory: where to gather them.
    """

    def __init__(self, memory: Memory) -> None:
        self.filled = 0
        self._memory = memory
        self._kind: Any = None
        self._buffers: Any = None
        self._size = self._capacity = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for another batch."""
        return self.filled == self._capacity

    def fits(self, batch: dict[str, Any]) -> bool:
        """Whether a batch is like those before it."""
        return _kind(batch) == self._kind

    def add(self, batch: dict[str, Any]) -> None:
        """Copy a batch."""
        if not self.filled:
            self._begin(batch)
        start = self.filled * self._size
        rows = slice(start, start + self._size)
        jax.tree.map(lambda a, into: np.copyto(into[rows], a), batch, self._buffers)
        self.filled += 1

    def _begin(self, batch: dict[str, Any]) -> None:
        self._kind = _kind(batch)
        leaves = jax.tree.leaves(batch)
        self._size = leaves[0].shape[0]
        bytes_of_step = sum(leaf.nbytes for leaf in leaves)
        self._capacity = min(MOST_BATCHES, max(1, chunk_size() // max(1, bytes_of_step)))
        self._buffers = self._memory.next(batch, self._capacity * self._size)

    def window(self, ends: bool) -> Window:
        """What has been gathered; the group is empty afterwards."""
        data, full = on_device(self._buffers), self.filled
        self._buffers, self.filled = None, 0
        return Window(data, None, self._size, 0, full, False, ends)


class Memory:
    """Two stretches of memory that are used in turn, so that no window needs new pages."""

    def __init__(self) -> None:
        self._stretches = [np.empty(0, np.uint8), np.empty(0, np.uint8)]
        self._turn = 0

    def next(self, arrays: Any, rows: int) -> Any:
        """Arrays of ``rows`` rows, otherwise like those given; their values are left over."""
        self._turn = 1 - self._turn
        leaves, structure = jax.tree.flatten(arrays)
        shapes = [(rows, *leaf.shape[1:]) for leaf in leaves]
        sizes = [
            int(np.prod(shape)) * leaf.dtype.itemsize
            for shape, leaf in zip(shapes, leaves, strict=True)
        ]
        room = sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)
        if self._stretches[self._turn].nbytes < room:
            self._stretches[self._turn] = _pages(room)
        stretch, offset, found = self._stretches[self._turn], 0, []
        for leaf, shape, size in zip(leaves, shapes, sizes, strict=True):
            found.append(stretch[offset : offset + size].view(leaf.dtype).reshape(shape))
            offset += -(-size // ALIGNMENT) * ALIGNMENT
        return jax.tree.unflatten(structure, found)


def on_device(buffers: Any) -> Any:
    """The buffers as arrays on the device. On a CPU they stay where they are."""
    return jax.block_until_ready(jax.device_put(buffers))


def _pages(size: int) -> np.ndarray:
    """Memory that begins with a page, and that the system has back as soon as nobody uses it.

    What malloc is given back in one thread it may keep for that thread.
    """
    if sys.platform == "win32":
        return np.frombuffer(mmap.mmap(-1, size), np.uint8)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)


def _read(array: Any, rows: np.ndarray | slice, into: np.ndarray) -> None:
    if isinstance(array, Rows):
        array.read(rows, into)
    elif isinstance(rows, slice):
        np.copyto(into, np.asarray(array)[rows])
    else:
        # The rows are known to be there, and "clip" spares a copy that "raise" makes.
        np.take(np.asarray(array), rows, axis=0, out=into, mode="clip")


def _kind(batch: dict[str, Any]) -> Any:
    """What must be the same for batches to share a window."""
    leaves, structure = jax.tree.flatten(batch)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
