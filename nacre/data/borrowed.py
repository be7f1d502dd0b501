"""NumPy's memory read by compiled programs on a CPU, without a copy.

XLA wants its arrays to begin at a multiple of 64 bytes, and NumPy's large ones begin 16 bytes
after one. So XLA is shown the memory from the multiple before, as one flat array, and examples are
cut out of it behind those bytes. They lie in the same page of memory, so they may be read.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax import lax

__all__ = ["Borrowed", "on_device", "rows_of", "stretch_of"]

ALIGNMENT = 64
# Smaller arrays are copied: that takes no time, and where they begin would make a difference to the
# shapes that programs are compiled for. Larger ones have pages of their own, and begin alike.
SMALLEST = 32 * 2**20


@jax.tree_util.register_pytree_node_class
class Borrowed:
    """An array of examples within a flat one.

    Args:
        flat: the numbers, behind some that are not looked at.
        before: how many those are.
        shape: the array's.
    """

    def __init__(self, flat: Any, before: Any, shape: tuple[int, ...]) -> None:
        self.flat = flat
        self.before = before
        self.shape = shape

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[int, ...]]:
        return (self.flat, self.before), self.shape

    @classmethod
    def tree_unflatten(cls, shape: tuple[int, ...], parts: tuple[Any, Any]) -> Borrowed:
        return cls(*parts, shape)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows, on the host."""
        return np.asarray(self.flat)[int(self.before) :].reshape(self.shape)[rows]

    def stretch(self, first: jax.Array, count: int) -> jax.Array:
        """``count`` rows, one after the other."""
        row = math.prod(self.shape[1:])
        numbers = lax.dynamic_slice(self.flat, (self.before + first * row,), (count * row,))
        return numbers.reshape(count, *self.shape[1:])

    def rows(self, numbers: jax.Array) -> jax.Array:
        """The rows of these numbers."""
        return jax.vmap(lambda number: self.stretch(number, 1)[0])(numbers)


class _Memory:
    """What NumPy's array interface says of a stretch of memory; it keeps the memory's owner."""

    def __init__(self, address: int, count: int, dtype: np.dtype, owner: np.ndarray) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "data": (address, True),  # to be read only
            "shape": (count,),
            "typestr": dtype.str,
        }


def on_device(arrays: Any) -> Any:
    """A tree of arrays as programs read them: on a CPU the large ones where they lie."""
    placed = [_borrowed(array) for array in jax.tree.leaves(arrays)]
    return jax.device_put(jax.tree.unflatten(jax.tree.structure(arrays), placed))


def _borrowed(array: Any) -> Any:
    if not (
        isinstance(array, np.ndarray)
        and array.nbytes >= SMALLEST
        and array.size < 2**31 - ALIGNMENT
        and array.flags.c_contiguous
        and jax.default_backend() == "cpu"
    ):
        return array
    address = array.ctypes.data
    before, rest = divmod(address % ALIGNMENT, array.itemsize)
    if rest or not before:
        return array
    memory = _Memory(address - before * array.itemsize, before + array.size, array.dtype, array)
    return Borrowed(np.asarray(memory), np.int32(before), array.shape)


def _is_borrowed(node: Any) -> bool:
    return isinstance(node, Borrowed)


def rows_of(data: Any, numbers: jax.Array) -> Any:
    """The rows of these numbers, of each array in a tree."""

    def taken(array: Any) -> jax.Array:
        if isinstance(array, Borrowed):
            return array.rows(numbers)
        return array.at[numbers].get(mode="promise_in_bounds")

    return jax.tree.map(taken, data, is_leaf=_is_borrowed)


def stretch_of(data: Any, first: jax.Array, count: int) -> Any:
    """``count`` rows, one after the other, of each array in a tree."""

    def taken(array: Any) -> jax.Array:
        if isinstance(array, Borrowed):
            return array.stretch(first, count)
        return lax.dynamic_slice_in_dim(array, first, count)

    return jax.tree.map(taken, data, is_leaf=_is_borrowed)
