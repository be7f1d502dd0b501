"""Arrays as a source of batches: checked, lined up, split and weighted."""

from __future__ import annotations

import itertools
import mmap
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.errors import DataError, explain
from nacre.data.borrowed import on_device
from nacre.data.budget import chunk_size, data_budget

__all__ = ["Examples", "Rows", "class_weights", "examples_from", "split"]


NUMBERS = (bool, int, float, np.number, np.bool_)


class Examples(NamedTuple):
    """Inputs, targets and weights of the same examples.

    Attributes:
        arrays: a dictionary with ``"x"`` and, where given, ``"y"`` and ``"weight"``; each an array
            or a tree of arrays with the examples along the first axis.
        count: the number of examples.
    """

    arrays: dict[str, Any]
    count: int

    @property
    def streamed(self) -> bool:
        """Whether they are read a chunk at a time: on disk, or larger than the budget."""
        leaves = jax.tree.leaves(self.arrays)
        size = sum(leaf.nbytes for leaf in leaves if not isinstance(leaf, jax.Array))
        on_disk = any(isinstance(leaf, Rows) and leaf.on_disk for leaf in leaves)
        return size > data_budget() or (on_disk and size > chunk_size())

    def on_device(self) -> dict[str, Any]:
        """The arrays as programs read them."""
        return on_device(jax.tree.map(lambda a: a[:] if isinstance(a, Rows) else a, self.arrays))

    def steps(self, size: int, limit: int | None = None) -> int:
        """The number of batches of ``size``, or ``limit`` if there are more."""
        return min(limit or self.count, -(-self.count // size))

    def inputs(self, size: int, count: int) -> Iterator[Any]:
        """The inputs in ``count`` batches of ``size``."""
        if count == 1 and self.count <= size and not isinstance(self.arrays["x"], Rows):
            yield self.arrays["x"]
            return
        for start in range(0, count * size, size):
            rows = slice(start, start + size)
            yield jax.tree.map(lambda a, rows=rows: a[rows], self.arrays["x"])


class Rows:
    """An array of which only the rows asked for are read, and narrowed to 32 bits as they are.

    It stands for an array on disk, or for a 64-bit one that is too large to be converted whole.

    Args:
        base: the array.
        name: what it holds, for messages.
    """

    def __init__(self, base: np.ndarray, name: str) -> None:
        self.base = base
        self.name = name
        self.shape = base.shape
        self.ndim = base.ndim
        self.dtype = _narrowed(base[:0], name).dtype
        self.nbytes = base.size * self.dtype.itemsize

    @property
    def on_disk(self) -> bool:
        """Whether the array is mapped from a file."""
        return isinstance(self.base, np.memmap)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        read = np.array(self.base[rows])
        self._forget()
        return _narrowed(read, self.name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def part(self, rows: slice) -> Rows:
        """Some of the rows, still to be read."""
        return Rows(self.base[rows], self.name)

    def read(self, rows: np.ndarray | slice, into: np.ndarray) -> None:
        """Copy rows into an array of the narrowed type.

        Args:
            rows: which; from an array on disk, in ascending order.
            into: as many rows.
        """
        for wanted, places in self._stretches(rows):
            if self.base.dtype != self.dtype:
                into[places] = _narrowed(self.base[wanted], self.name)
            elif isinstance(wanted, slice):
                into[places] = self.base[wanted]
            else:
                np.take(self.base, wanted, axis=0, out=into[places], mode="clip")
            self._forget()

    def _stretches(self, rows: np.ndarray | slice) -> Iterator[tuple[Any, slice]]:
        """The rows, and their places, a short stretch of the file or a small copy at a time.

        Each row that is read from a file brings its neighbours into memory: scattered over the
        whole file, a few rows would bring all of it.
        """
        length = max(1, chunk_size() // 4 // max(1, self.base.nbytes // len(self)))
        if isinstance(rows, slice):
            first = rows.start
            for start in range(first, rows.stop, length):
                stop = min(start + length, rows.stop)
                yield slice(start, stop), slice(start - first, stop - first)
            return
        if self.on_disk:
            ends = np.searchsorted(rows, np.arange(length, len(self) + length, length))
        else:
            ends = np.minimum(np.arange(length, len(rows) + length, length), len(rows))
        for start, stop in itertools.pairwise(np.unique([0, *ends]).tolist()):
            yield rows[start:stop], slice(start, stop)

    def _forget(self) -> None:
        """Give back the memory of the pages that were read; the file keeps what they hold."""
        mapping = getattr(self.base, "_mmap", None)
        mode = getattr(self.base, "mode", "c")
        if mapping is not None and mode != "c" and sys.platform == "linux":
            mapping.madvise(mmap.MADV_DONTNEED)


def examples_from(x: Any, y: Any = None, weight: Any = None) -> Examples:
    """Line up inputs, targets and weights.

    Raises:
        DataError: they are not numbers, or not of the same length, or empty.
    """
    named = {"x": x, "y": y, "weight": weight}
    arrays = {
        name: jax.tree.map(
            lambda leaf, name=name: as_array(leaf, name), value, is_leaf=is_list_of_numbers
        )
        for name, value in named.items()
        if value is not None
    }
    lengths = {
        f"{name}{jax.tree_util.keystr(path)}": leaf.shape[0]
        for name, tree in arrays.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    if len(set(lengths.values())) > 1:
        raise DataError(
            explain(
                "The arrays hold different numbers of examples.",
                expected="the same length along the first axis of each",
                received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
                fix="check how they were cut or loaded; x[i] and y[i] must belong together.",
            )
        )
    if not lengths or next(iter(lengths.values())) == 0:
        raise DataError(
            explain("There are no examples.", expected="at least one", received=str(lengths))
        )
    return Examples(arrays, next(iter(lengths.values())))


def as_array(value: Any, name: str) -> Any:
    """An array of a type that the device holds as it is; 64-bit numbers become 32-bit.

    Raises:
        DataError: the values are not numbers, or there is no axis of examples.
    """
    if isinstance(value, jax.Array):
        array: Any = value
    else:
        if hasattr(value, "detach"):  # a PyTorch tensor
            value = value.detach().cpu()
        array = value if is_on_disk(value) else _as_numpy(value, name)
        if array.dtype.kind not in "biuf" and array.dtype != jnp.bfloat16:
            raise DataError(
                explain(
                    f"{name} does not hold numbers.",
                    expected="an array of numbers",
                    received=f"type {array.dtype} of shape {array.shape}",
                    fix=_as_numbers(array, name),
                )
            )
    if array.ndim == 0:
        raise DataError(
            explain(
                f"{name} is a single number.",
                expected="an array with the examples along its first axis",
                received=repr(value),
            )
        )
    if isinstance(array, jax.Array):
        return array
    if is_on_disk(array) or (array.dtype.itemsize == 8 and array.nbytes // 2 > data_budget()):
        return Rows(array, name)
    return _narrowed(array, name)


def is_on_disk(value: Any) -> bool:
    """Whether an array is mapped from a file, not only made from one that is."""
    return isinstance(value, np.memmap) and getattr(value, "_mmap", None) is not None


def _as_numpy(value: Any, name: str) -> np.ndarray:
    """An array of what was given; numbers that are held as objects, as tables do, as numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        lengths = sorted({len(row) for row in value if hasattr(row, "__len__")})
        raise DataError(
            explain(
                f"The rows of {name} have different lengths.",
                expected="as many numbers in each",
                received=f"lengths from {lengths[0]} to {lengths[-1]}" if lengths else "a mixture",
                fix="bring them to one length: nacre.utils.pad_sequences(rows).",
            )
        ) from None
    is_mixture = array.dtype == object and all(isinstance(v, NUMBERS) for v in array.flat)
    return array.astype(np.float32) if is_mixture and array.size else array


def _as_numbers(array: np.ndarray, name: str) -> str:
    """How to make numbers of an array that holds something else."""
    first = array.flat[0] if array.size else None
    if isinstance(first, str | bytes) and name == "y":
        return "number the classes: classes, y = numpy.unique(y, return_inverse=True)."
    if isinstance(first, str | bytes):
        return "number the words or categories, or leave those columns out."
    if hasattr(first, "__len__"):
        return "bring the rows to one length: nacre.utils.pad_sequences(rows)."
    return "encode dates and the like as numbers; fill in what is missing."


def _narrowed(array: np.ndarray, name: str) -> np.ndarray:
    """The array in the 32-bit type of its kind, if it has a 64-bit one that JAX does not use."""
    if jax.dtypes.canonicalize_dtype(np.float64) == np.float64:
        return array
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        if array.size and (array.max() > np.iinfo(np.int32).max or array.min() < -(2**31)):
            raise DataError(
                explain(
                    f"{name} holds whole numbers that do not fit 32 bits.",
                    received=f"up to {array.max()}",
                    fix="use floating-point numbers, or number the values from 0.",
                )
            )
        return array.astype(np.int32)
    return array


def is_list_of_numbers(value: Any) -> bool:
    """Whether nested lists are meant as an array, not as several arrays."""
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, bool | int | float | str | np.generic)


def split(examples: Examples, fraction: float) -> tuple[Examples, Examples]:
    """Keep the last ``fraction`` of the examples for validation.

    Raises:
        DataError: one of the parts would be empty.
    """
    kept = int(examples.count * (1 - fraction))
    if not 0 < kept < examples.count:
        raise DataError(
            explain(
                "validation_split leaves nothing on one side.",
                expected="a fraction between 0 and 1 with examples on both sides",
                received=f"{fraction} of {examples.count} examples",
                fix=f"for {fraction:g} percent write {fraction / 100:g}."
                if 1 < fraction < 100
                else "use a larger part, or more data.",
            )
        )

    def part(rows: slice) -> dict[str, Any]:
        return jax.tree.map(
            lambda a: a.part(rows) if isinstance(a, Rows) else a[rows], examples.arrays
        )

    return (
        Examples(part(slice(0, kept)), kept),
        Examples(part(slice(kept, None)), examples.count - kept),
    )


def class_weights(weights: dict[int, float], y: Any) -> np.ndarray:
    """The weight of each example, from the weight of its class.

    Args:
        weights: by class number; a class that is missing weighs 1.
        y: class numbers of shape ``(n,)`` or ``(n, 1)``, or one-hot rows ``(n, classes)``.

    Raises:
        DataError: ``y`` does not hold one class for each example.
    """
    check_weights(weights)
    labels = np.asarray(y) if not isinstance(y, dict | list | tuple) else None
    if labels is not None and labels.ndim == 2:
        labels = labels.argmax(-1) if labels.shape[1] > 1 else labels[:, 0]
    if labels is None or labels.ndim != 1:
        raise DataError(
            explain(
                "class_weight needs one output with a class for each example.",
                expected="y of shape (n,), (n, 1) or (n, classes)",
                received=type(y).__name__ if labels is None else f"shape {labels.shape}",
                fix="use sample_weight instead.",
            )
        )
    classes, places = np.unique(labels.astype(np.int64), return_inverse=True)
    if weights and not set(weights) & set(classes.tolist()):
        shown = ", ".join(map(str, classes[:10].tolist()))
        raise DataError(
            explain(
                "class_weight has no weight for any class in y.",
                expected=f"some of the classes {shown}",
                received=", ".join(map(str, weights)),
                fix="use the numbers that the classes have in y.",
            )
        )
    return np.array([weights.get(label, 1) for label in classes.tolist()], np.float32)[places]


def check_weights(weights: Any) -> None:
    """Raise unless ``weights`` is a dictionary from class numbers to weights."""
    good = isinstance(weights, dict) and all(isinstance(label, NUMBERS) for label in weights)
    if not good:
        raise DataError(
            explain(
                "class_weight does not say which class has which weight.",
                expected="a dictionary from class numbers to weights, such as {0: 1.0, 1: 5.0}",
                received=repr(weights),
                fix="use the numbers that the classes have in y."
                if isinstance(weights, dict)
                else "write class_weight=dict(enumerate(weights)).",
            )
        )
