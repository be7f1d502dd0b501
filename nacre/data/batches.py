"""Whatever yields batches, in one form: a number of batches, if known, and a way to begin anew."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from nacre.core.errors import ArgumentError, DataError, explain
from nacre.data.arrays import class_weights, examples_from
from nacre.data.dataset import Dataset
from nacre.data.order import EpochOrder

__all__ = ["Batches", "yields_batches"]


def yields_batches(x: Any) -> bool:
    """Whether ``x`` gives batches one after the other, rather than being arrays.

    Raises:
        DataError: it gives single examples, or is a function that has not been called.
    """
    if isinstance(x, Dataset):
        return True
    if isinstance(x, dict | list | tuple | str | bytes) or hasattr(x, "__array__"):
        return False
    if inspect.isgeneratorfunction(x):
        raise DataError(
            explain(
                "The data is a function that makes a generator.",
                received=f"the function {x.__name__}",
                fix=f"call it: fit({x.__name__}(), steps_per_epoch=...); or use "
                f"nacre.data.Dataset.from_generator({x.__name__}), which can begin anew.",
            )
        )
    if _is_torch_dataset(x):
        raise DataError(
            explain(
                "A PyTorch Dataset gives single examples.",
                expected="batches",
                received=type(x).__name__,
                fix="wrap it: torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True).",
            )
        )
    return isinstance(x, Iterable) or _has_index(x)


class Batches:
    """The batches of a generator, an iterable, an object with an index, or a :class:`Dataset`.

    A batch is ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Args:
        source: what yields the batches.
        seed: the seed of the order of batches, for an object with an index; None takes them as
            they come.
        classes: the weight of each class, or None.

    Attributes:
        count: how many there are, None if only the end will tell.
        once: whether they cannot begin anew.
    """

    def __init__(
        self, source: Any, seed: int | None = None, classes: dict[int, float] | None = None
    ) -> None:
        self.source = source
        self.classes = classes
        self.once = isinstance(source, Iterator) and not _has_index(source)
        self.count = _count(source)
        self._order = None
        if _has_index(source) and self.count is not None and seed is not None:
            self._order = EpochOrder(seed, self.count)
        if isinstance(source, Dataset) and source.gives_examples:
            raise DataError(
                explain(
                    "The Dataset gives single examples.",
                    expected="batches",
                    fix="group them: dataset.batch(32).",
                )
            )

    def begin(self, turn: int) -> Iterator[dict[str, Any]]:
        """The batches from their beginning, for the ``turn``-th time."""
        for batch in self._elements(turn):
            x, y, weight = parts(batch)
            if self.classes is not None:
                of_class = class_weights(self.classes, y)
                weight = of_class if weight is None else of_class * np.asarray(weight)
            arrays = examples_from(x, y, weight).arrays
            yield jax.tree.map(np.asarray, arrays)

    def inputs(self, limit: int | None) -> Iterator[Any]:
        """The inputs of the batches, at most ``limit`` of them."""
        for batch in itertools.islice(self._elements(0), limit):
            # Copies: the device may still read a batch when its maker writes the next one there.
            arrays = examples_from(parts(batch)[0]).arrays
            yield jax.tree.map(
                lambda a: a if isinstance(a, jax.Array) else np.array(a), arrays["x"]
            )

    def _elements(self, turn: int) -> Iterator[Any]:
        source = self.source
        if isinstance(source, Dataset):
            yield from source.epoch(turn)
        elif not _has_index(source):
            yield from source
        else:
            yield from self._indexed(turn)

    def _indexed(self, turn: int) -> Iterator[Any]:
        """The batches of an object with an index, as Keras's PyDataset is one."""
        begins = getattr(self.source, "on_epoch_begin", None)
        ends = getattr(self.source, "on_epoch_end", None)
        if begins is not None:
            begins()
        if self.count is not None:
            numbers: Iterable[int] = range(self.count)
            if self._order is not None:
                numbers = self._order(turn).tolist()
            for number in numbers:
                yield self.source[number]
        else:
            number = 0
            while True:
                yield self.source[number]
                number += 1
        if ends is not None:
            ends()


def parts(batch: Any) -> tuple[Any, Any, Any]:
    """The inputs, targets and weights of a batch.

    Raises:
        DataError: it is a tuple of more than three.
    """
    if not isinstance(batch, tuple | list):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise DataError(
            explain(
                "A batch has too many parts, or none.",
                expected="x, (x, y) or (x, y, sample_weight)",
                received=f"a {type(batch).__name__} of {len(batch)}",
                fix="put several inputs into a tuple of their own: ((a, b), y).",
            )
        )
    x, y, weight = (*batch, None, None)[:3]
    return x, y, weight


def nothing_beside(**given: Any) -> None:
    """Check that arguments that go with arrays were not given with batches.

    Raises:
        ArgumentError: one of them was.
    """
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                explain(
                    f"{name} cannot be given beside a generator, an iterable or a Dataset.",
                    expected="everything in the batches: (x, y) or (x, y, sample_weight)",
                    received=f"{name} of type {type(value).__name__}",
                )
            )


def _has_index(source: Any) -> bool:
    if isinstance(source, Dataset) or not hasattr(source, "__getitem__"):
        return False
    return hasattr(source, "__len__") or hasattr(source, "num_batches")


def _count(source: Any) -> int | None:
    if hasattr(source, "num_batches"):
        return source.num_batches
    try:
        return len(source)
    except (TypeError, NotImplementedError):  # PyTorch raises either where a length is not known
        return None


def _is_torch_dataset(x: Any) -> bool:
    return any(
        base.__module__ == "torch.utils.data.dataset" and base.__name__ == "Dataset"
        for base in type(x).__mro__
    )
