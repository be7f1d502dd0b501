"""What a :class:`~nacre.data.Dataset` is made of: each node gives elements, computed as needed.

A node that is *indexed* gives any element from its epoch and number alone. The others only give
their elements one after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from nacre.core import random
from nacre.core.errors import DataError, explain
from nacre.data.arrays import is_list_of_numbers
from nacre.data.background import Ahead
from nacre.data.order import EpochOrder

__all__ = [
    "Arrays",
    "Batched",
    "Indexed",
    "Mapped",
    "Node",
    "Part",
    "Prefetched",
    "Repeated",
    "Shuffled",
    "ShuffledStream",
    "Stream",
    "Zipped",
]


class Node:
    """Elements in an order of their own in each epoch.

    Attributes:
        count: the number of elements, None if only the end will tell.
        indexed: whether :meth:`get` gives any of them.
        examples: whether the elements are known to be single examples.
    """

    count: int | None = None
    indexed: bool = False
    examples: bool = False

    def get(self, epoch: int, number: int) -> Any:
        """Element ``number`` of an epoch."""
        raise NotImplementedError

    def gather(self, epoch: int, numbers: Sequence[int] | np.ndarray) -> Any:
        """Several elements of an epoch, stacked."""
        return stacked([self.get(epoch, int(number)) for number in numbers])

    def stream(self, epoch: int) -> Iterator[Any]:
        """The elements of an epoch, one after the other."""
        assert self.count is not None
        return (self.get(epoch, number) for number in range(self.count))


class Arrays(Node):
    """The rows of arrays of the same length."""

    indexed = True
    examples = True

    def __init__(self, arrays: Any, count: int) -> None:
        self.arrays = arrays
        self.count = count

    def get(self, epoch: int, number: int) -> Any:
        return jax.tree.map(lambda array: np.asarray(array[number]), self.arrays)

    def gather(self, epoch: int, numbers: Sequence[int] | np.ndarray) -> Any:
        rows = np.asarray(numbers)
        return jax.tree.map(lambda array: np.asarray(array[rows]), self.arrays)


class Indexed(Node):
    """The items of an object with a length and an index."""

    indexed = True

    def __init__(self, items: Any) -> None:
        self.items = items
        self.count = len(items)

    def get(self, epoch: int, number: int) -> Any:
        return self.items[number]


class Stream(Node):
    """What an iterable gives; ``begin`` makes it anew for each epoch."""

    def __init__(self, begin: Callable[[], Iterable[Any]]) -> None:
        self.begin = begin

    def stream(self, epoch: int) -> Iterator[Any]:
        return iter(self.begin())


class Mapped(Node):
    """A function of each element; a tuple's items are its arguments."""

    def __init__(self, parent: Node, function: Callable[..., Any]) -> None:
        self.parent, self.function = parent, function
        self.count, self.indexed, self.examples = parent.count, parent.indexed, parent.examples

    def get(self, epoch: int, number: int) -> Any:
        return self._apply(self.parent.get(epoch, number))

    def stream(self, epoch: int) -> Iterator[Any]:
        return (self._apply(element) for element in self.parent.stream(epoch))

    def _apply(self, element: Any) -> Any:
        return self.function(*element) if isinstance(element, tuple) else self.function(element)


class Shuffled(Node):
    """The elements in an order that depends on the seed and the epoch alone."""

    indexed = True

    def __init__(self, parent: Node, seed: int) -> None:
        assert parent.count is not None
        self.parent, self.count, self.examples = parent, parent.count, parent.examples
        self._order = EpochOrder(seed, parent.count)
        self._latest: tuple[int, np.ndarray] | None = None

    def get(self, epoch: int, number: int) -> Any:
        return self.parent.get(epoch, int(self._order_of(epoch)[number]))

    def gather(self, epoch: int, numbers: Sequence[int] | np.ndarray) -> Any:
        return self.parent.gather(epoch, self._order_of(epoch)[np.asarray(numbers)])

    def _order_of(self, epoch: int) -> np.ndarray:
        latest = self._latest
        if latest is None or latest[0] != epoch:
            latest = self._latest = epoch, self._order(epoch)
        return latest[1]


class ShuffledStream(Node):
    """The elements of a stream, each drawn at random from a buffer of those that come next."""

    def __init__(self, parent: Node, size: int, seed: int) -> None:
        self.parent, self.size, self.seed = parent, size, seed
        self.count, self.examples = parent.count, parent.examples

    def stream(self, epoch: int) -> Iterator[Any]:
        draw = random.generator(self.seed, "shuffle", epoch)
        elements = self.parent.stream(epoch)
        buffer = list(itertools.islice(elements, self.size))
        for element in elements:
            place = int(draw.integers(len(buffer)))
            yield buffer[place]
            buffer[place] = element
        draw.shuffle(buffer)  # type: ignore[arg-type]
        yield from buffer


class Batched(Node):
    """Elements stacked ``size`` at a time."""

    def __init__(self, parent: Node, size: int, drop_remainder: bool) -> None:
        self.parent, self.size, self.drop_remainder = parent, size, drop_remainder
        self.indexed = parent.indexed
        if parent.count is not None:
            self.count = parent.count // size if drop_remainder else -(-parent.count // size)

    def get(self, epoch: int, number: int) -> Any:
        assert self.parent.count is not None
        start = number * self.size
        return self.parent.gather(epoch, range(start, min(start + self.size, self.parent.count)))

    def stream(self, epoch: int) -> Iterator[Any]:
        if self.indexed:
            yield from super().stream(epoch)
            return
        elements = self.parent.stream(epoch)
        while group := list(itertools.islice(elements, self.size)):
            if len(group) == self.size or not self.drop_remainder:
                yield stacked(group)


class Part(Node):
    """The elements from ``start`` up to, and without, ``stop`` (None: to the end)."""

    def __init__(self, parent: Node, start: int, stop: int | None) -> None:
        self.parent, self.start, self.stop = parent, start, stop
        self.indexed, self.examples = parent.indexed, parent.examples
        if parent.count is not None:
            self.count = len(range(parent.count)[start:stop])

    def get(self, epoch: int, number: int) -> Any:
        return self.parent.get(epoch, self.start + number)

    def gather(self, epoch: int, numbers: Sequence[int] | np.ndarray) -> Any:
        return self.parent.gather(epoch, np.asarray(numbers) + self.start)

    def stream(self, epoch: int) -> Iterator[Any]:
        if self.indexed:
            return super().stream(epoch)
        return itertools.islice(self.parent.stream(epoch), self.start, self.stop)


class Repeated(Node):
    """The parent's epochs one after the other: ``times`` of them, or without end."""

    def __init__(self, parent: Node, times: int | None) -> None:
        self.parent, self.times, self.examples = parent, times, parent.examples
        self.indexed = parent.indexed and times is not None
        if parent.count is not None and times is not None:
            self.count = parent.count * times

    def get(self, epoch: int, number: int) -> Any:
        assert self.times is not None and self.parent.count
        turn, number = divmod(number, self.parent.count)
        return self.parent.get(epoch * self.times + turn, number)

    def stream(self, epoch: int) -> Iterator[Any]:
        turns = itertools.count(epoch)
        if self.times is not None:
            turns = range(epoch * self.times, (epoch + 1) * self.times)
        for turn in turns:
            empty = True
            for element in self.parent.stream(turn):
                empty = False
                yield element
            if empty:
                return


class Zipped(Node):
    """One element of each parent, in a tuple; it ends with the shortest."""

    def __init__(self, parents: Sequence[Node]) -> None:
        self.parents = parents
        counts = [parent.count for parent in parents]
        self.indexed = all(parent.indexed for parent in parents)
        self.examples = any(parent.examples for parent in parents)
        if all(count is not None for count in counts):
            self.count = min(counts)  # type: ignore[type-var]

    def get(self, epoch: int, number: int) -> Any:
        return tuple(parent.get(epoch, number) for parent in self.parents)

    def gather(self, epoch: int, numbers: Sequence[int] | np.ndarray) -> Any:
        return tuple(parent.gather(epoch, numbers) for parent in self.parents)

    def stream(self, epoch: int) -> Iterator[Any]:
        return zip(*(parent.stream(epoch) for parent in self.parents), strict=False)


class Prefetched(Node):
    """The elements, up to ``depth`` of them computed ahead in the background."""

    def __init__(self, parent: Node, depth: int) -> None:
        self.parent, self.depth = parent, depth
        self.count, self.indexed, self.examples = parent.count, parent.indexed, parent.examples

    def get(self, epoch: int, number: int) -> Any:
        return self.parent.get(epoch, number)

    def gather(self, epoch: int, numbers: Sequence[int] | np.ndarray) -> Any:
        return self.parent.gather(epoch, numbers)

    def stream(self, epoch: int) -> Iterator[Any]:
        ahead = Ahead(((element,) for element in self.parent.stream(epoch)), depth=self.depth)
        try:
            while (item := ahead.take()) is not None:
                yield item[0]
        finally:
            ahead.close()


def stacked(elements: list[Any]) -> Any:
    """Elements of the same shapes, along a new first axis.

    Raises:
        DataError: their shapes or structures differ.
    """
    try:
        return jax.tree.map(
            lambda *leaves: np.stack([_as_numpy(leaf) for leaf in leaves]),
            *elements,
            is_leaf=is_list_of_numbers,
        )
    except ValueError as error:
        shapes = {
            str(jax.tree.map(np.shape, element, is_leaf=is_list_of_numbers)) for element in elements
        }
        raise DataError(
            explain(
                "The elements do not make a batch.",
                expected="the same structure and shapes in each",
                received=" and ".join(sorted(shapes)[:3]),
                fix="pad or resize them in a map() before the batch().",
            )
        ) from error


def _as_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf)
