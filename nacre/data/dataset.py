"""A data set of our own: mapped, shuffled and batched as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nacre.core import random
from nacre.core.arguments import positive_integer
from nacre.core.errors import ArgumentError, explain
from nacre.data import nodes
from nacre.data.arrays import examples_from

__all__ = ["Dataset"]


class Dataset:
    """Elements that are computed when they are asked for, in an order that a seed determines.

    ``fit``, ``evaluate`` and ``predict`` take one that gives batches, and prepare the next ones in
    the background. Each method returns a new Dataset and changes nothing.

    The elements of an epoch are a function of the data, the seeds and the epoch's number, so they
    are the same whenever they are asked for. As long as every step has an index (arrays and
    sequences have one, generators have not), element ``n`` is found without those before it.
    Iterating over a Dataset gives epoch 0, then epoch 1 and so on; :meth:`epoch` gives any.

    Example:
        >>> import numpy as np
        >>> from nacre.data import Dataset
        >>> x, y = np.arange(6.0), np.arange(6)
        >>> dataset = Dataset.from_arrays(x, y).shuffle(seed=1).map(lambda x, y: (x / 2, y))
        >>> batches = dataset.batch(4)
        >>> len(batches), [len(x) for x, y in batches]
        (2, [4, 2])
        >>> sorted(y.item() for x, y in dataset)
        [0, 1, 2, 3, 4, 5]

    Differences from tf.data: sources with an index are shuffled exactly, without a buffer; the
    functions are ordinary Python over NumPy arrays.
    """

    def __init__(self, node: nodes.Node) -> None:
        self._node = node
        self._next_epoch = 0

    # Where the elements come from

    @classmethod
    def from_arrays(cls, *arrays: Any) -> Dataset:
        """The rows of arrays: of one, or tuples of rows of several.

        Args:
            arrays: arrays, or trees of arrays, with the examples along their first axis. Arrays on
                disk (``np.memmap``) are read row by row.

        Raises:
            DataError: they are not numbers, or not of the same length, or empty.

        Example:
            >>> [(int(x), int(y)) for x, y in Dataset.from_arrays([1, 2], [3, 4])]
            [(1, 3), (2, 4)]
        """
        given = arrays[0] if len(arrays) == 1 else arrays
        examples = examples_from(given)
        return cls(nodes.Arrays(examples.arrays["x"], examples.count))

    @classmethod
    def from_generator(cls, function: Callable[[], Iterable[Any]]) -> Dataset:
        """What ``function()`` yields; it is called anew for each epoch.

        Example:
            >>> def squares():
            ...     for n in range(3):
            ...         yield n * n
            >>> list(Dataset.from_generator(squares))
            [0, 1, 4]
        """
        if not callable(function):
            raise ArgumentError(
                explain(
                    "from_generator takes a function, so that every epoch can begin anew.",
                    expected="a function that returns an iterator",
                    received=type(function).__name__,
                    fix="pass the function itself, without calling it; or use from_iterable.",
                )
            )
        return cls(nodes.Stream(function))

    @classmethod
    def from_iterable(cls, iterable: Iterable[Any]) -> Dataset:
        """What an iterable gives. With a length and an index, as a list has, it is used by index.

        Example:
            >>> list(Dataset.from_iterable("abc"))
            ['a', 'b', 'c']
        """
        if hasattr(iterable, "__len__") and hasattr(iterable, "__getitem__"):
            return cls(nodes.Indexed(iterable))
        return cls(nodes.Stream(lambda: iterable))

    @classmethod
    def zip(cls, *datasets: Dataset) -> Dataset:
        """Tuples of one element of each; it ends with the shortest.

        Example:
            >>> list(Dataset.zip(Dataset.from_iterable("ab"), Dataset.from_iterable("xyz")))
            [('a', 'x'), ('b', 'y')]
        """
        return cls(nodes.Zipped([dataset._node for dataset in datasets]))

    # What is done with them

    def map(self, function: Callable[..., Any]) -> Dataset:
        """``function`` of each element; the items of a tuple become its arguments.

        Example:
            >>> list(Dataset.from_iterable([1, 2, 3]).map(lambda n: 10 * n))
            [10, 20, 30]
        """
        return Dataset(nodes.Mapped(self._node, function))

    def shuffle(self, buffer_size: int | None = None, seed: int | None = None) -> Dataset:
        """The elements in a random order, another in each epoch.

        Args:
            buffer_size: for a source without an index, the elements to draw from; one with an
                index is shuffled as a whole, and this is not used.
            seed: the seed of the order; by default that of :func:`nacre.set_seed`, else a new one.

        Raises:
            ArgumentError: there is no index and no ``buffer_size``.
        """
        if buffer_size is not None:
            positive_integer("shuffle", "buffer_size", buffer_size)
        seed = random.fresh_seed() if seed is None else seed
        if self._node.indexed:
            return Dataset(nodes.Shuffled(self._node, seed))
        if buffer_size is None:
            raise ArgumentError(
                explain(
                    "shuffle needs a buffer, because the elements have no index.",
                    fix="say how many elements to draw from: shuffle(buffer_size=1000).",
                )
            )
        return Dataset(nodes.ShuffledStream(self._node, buffer_size, seed))

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """Elements stacked ``batch_size`` at a time, along a new first axis.

        Args:
            batch_size: the number of elements.
            drop_remainder: whether to leave out a last batch that is smaller.

        Raises:
            DataError: when it is read, if the elements differ in shape.
        """
        positive_integer("batch", "batch_size", batch_size)
        return Dataset(nodes.Batched(self._node, batch_size, drop_remainder))

    def take(self, count: int) -> Dataset:
        """The first ``count`` elements.

        Example:
            >>> list(Dataset.from_iterable([1, 2, 3]).take(2))
            [1, 2]
        """
        return Dataset(nodes.Part(self._node, 0, _not_negative("take", count)))

    def skip(self, count: int) -> Dataset:
        """The elements after the first ``count``.

        Example:
            >>> list(Dataset.from_iterable([1, 2, 3]).skip(2))
            [3]
        """
        return Dataset(nodes.Part(self._node, _not_negative("skip", count), None))

    def repeat(self, count: int | None = None) -> Dataset:
        """``count`` epochs one after the other, each in an order of its own; None: without end."""
        if count is not None:
            positive_integer("repeat", "count", count)
        return Dataset(nodes.Repeated(self._node, count))

    def prefetch(self, buffer_size: int = 1) -> Dataset:
        """The same elements, up to ``buffer_size`` of them computed ahead in a thread.

        ``fit`` and ``evaluate`` do that by themselves.
        """
        positive_integer("prefetch", "buffer_size", buffer_size)
        return Dataset(nodes.Prefetched(self._node, buffer_size))

    # Reading

    def epoch(self, number: int) -> Iterator[Any]:
        """The elements of an epoch, the same whenever it is asked for."""
        return self._node.stream(number)

    def __iter__(self) -> Iterator[Any]:
        number, self._next_epoch = self._next_epoch, self._next_epoch + 1
        return self.epoch(number)

    def __len__(self) -> int:
        """The number of elements.

        Raises:
            TypeError: it is not known, or there is no end.
        """
        if self._node.count is None:
            raise TypeError("the number of elements of this Dataset is not known")
        return self._node.count

    @property
    def gives_examples(self) -> bool:
        """Whether its elements are known to be single examples, not batches."""
        return self._node.examples


def _not_negative(owner: str, count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ArgumentError(
            explain(f"{owner} takes a number of elements.", expected=">= 0", received=repr(count))
        )
    return count
