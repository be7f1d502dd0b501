"""Operations that pick, place, order and look up elements."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import one_of
from nacre.ops.operation import ArrayLike, Operand, Verbatim, operation, to_array

__all__ = [
    "argpartition",
    "argsort",
    "digitize",
    "get_item",
    "in_top_k",
    "isin",
    "nonzero",
    "scatter",
    "scatter_update",
    "searchsorted",
    "slice",
    "slice_update",
    "sort",
    "take",
    "take_along_axis",
    "top_k",
    "unique",
    "unravel_index",
]


@operation
def get_item(x: ArrayLike, key: Verbatim) -> jax.Array:
    """``x[key]``: numbers, slices, ``...`` and None as in NumPy.

    Example:
        >>> get_item([[1, 2], [3, 4]], (..., 0)).tolist()
        [1, 3]
    """
    return x[_index(key)]


def _index(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_index(part) for part in key)
    is_plain = key is None or isinstance(key, int | builtins.slice | type(...))
    return key if is_plain else to_array(key)


@operation
def take(x: ArrayLike, indices: ArrayLike, axis: int | None = None) -> jax.Array:
    """The parts of ``x`` at ``indices`` along an axis; by default ``x`` is flattened first.

    Example:
        >>> take([10, 20, 30], [2, 0]).tolist()
        [30, 10]
    """
    return jnp.take(x, indices, axis)


@operation
def take_along_axis(x: ArrayLike, indices: ArrayLike, axis: int | None = None) -> jax.Array:
    """For each place, the element at its own index along an axis.

    Example:
        >>> take_along_axis([[1, 2], [3, 4]], [[1], [0]], axis=1).tolist()
        [[2], [3]]
    """
    return jnp.take_along_axis(x, indices, axis)


@operation
def slice(inputs: ArrayLike, start_indices: Sequence[Any], shape: Sequence[int]) -> jax.Array:
    """The block of the given shape that begins at ``start_indices``; -1 stands for the rest.

    Example:
        >>> slice([[1, 2, 3], [4, 5, 6]], (0, 1), (2, -1)).tolist()
        [[2, 3], [5, 6]]
    """
    sizes = [
        inputs.shape[axis] - start if size == -1 else size
        for axis, (start, size) in enumerate(zip(start_indices, shape))
    ]
    return jax.lax.dynamic_slice(inputs, start_indices, sizes)


@operation
def slice_update(inputs: ArrayLike, start_indices: Sequence[Any], updates: ArrayLike) -> jax.Array:
    """``inputs`` with the block that begins at ``start_indices`` replaced by ``updates``."""
    return jax.lax.dynamic_update_slice(inputs, updates.astype(inputs.dtype), start_indices)


@operation
def scatter(indices: ArrayLike, values: ArrayLike, shape: Sequence[int]) -> jax.Array:
    """Zeros of the given shape, to which ``values`` are added at ``indices``.

    Args:
        indices: (..., number of axes that are indexed).
        values: what to add there.
        shape: the shape of the result.

    Example:
        >>> scatter([[0], [2]], [1.0, 5.0], (4,)).tolist()
        [1.0, 0.0, 5.0, 0.0]
    """
    return jnp.zeros(shape, values.dtype).at[tuple(jnp.moveaxis(indices, -1, 0))].add(values)


@operation
def scatter_update(
    inputs: ArrayLike, indices: ArrayLike, updates: ArrayLike, reduction: str | None = None
) -> jax.Array:
    """``inputs`` with ``updates`` at ``indices``.

    Args:
        inputs: an array.
        indices: (number of updates, number of axes that are indexed).
        updates: what to place there.
        reduction: how an update and what is there are combined: None replaces it, else "add",
            "max", "min" or "mul".

    Example:
        >>> scatter_update([0, 0, 0], [[1]], [7]).tolist()
        [0, 7, 0]
    """
    one_of("ops.scatter_update", "reduction", reduction, (None, "add", "max", "min", "mul"))
    method = {None: "set", "mul": "multiply"}.get(reduction) or str(reduction)
    place = inputs.at[tuple(jnp.moveaxis(indices, -1, 0))]
    return getattr(place, method)(updates.astype(inputs.dtype))


# Order


@operation
def sort(x: ArrayLike, axis: int = -1) -> jax.Array:
    """The elements in ascending order along an axis."""
    return jnp.sort(x, axis)


@operation
def argsort(x: ArrayLike, axis: int = -1) -> jax.Array:
    """The positions that would put the elements in ascending order."""
    return jnp.argsort(x, axis).astype("int32")


@operation
def argpartition(x: ArrayLike, kth: int, axis: int = -1) -> jax.Array:
    """Positions such that the ``kth`` is in its place, smaller ones before it."""
    return jnp.argpartition(x, kth, axis).astype("int32")


@operation
def top_k(x: ArrayLike, k: int, sorted: bool = True) -> tuple[jax.Array, jax.Array]:
    """The ``k`` largest elements of the last axis, largest first, and their positions.

    Example:
        >>> values, positions = top_k([1.0, 5.0, 3.0], 2)
        >>> values.tolist(), positions.tolist()
        ([5.0, 3.0], [1, 2])
    """
    values, positions = jax.lax.top_k(x, k)
    return values, positions.astype("int32")


@operation
def in_top_k(targets: ArrayLike, predictions: ArrayLike, k: int) -> jax.Array:
    """Whether fewer than ``k`` predictions are larger than the one at the target.

    Args:
        targets: (...) whole numbers, the right classes.
        predictions: (..., classes) a score for each.
        k: how many to look at.

    Example:
        >>> in_top_k([0, 1], [[0.3, 0.7], [0.3, 0.7]], k=1).tolist()
        [False, True]
    """
    at_target = jnp.take_along_axis(predictions, targets[..., None].astype("int32"), axis=-1)
    at_target = jnp.where(jnp.isnan(at_target), -jnp.inf, at_target)
    return jnp.sum(predictions > at_target, axis=-1) < k


@operation
def searchsorted(sorted_sequence: Operand, values: Operand, side: str = "left") -> jax.Array:
    """Where each value would go in an ascending sequence."""
    return jnp.searchsorted(sorted_sequence, values, side=side).astype("int32")


@operation
def digitize(x: Operand, bins: Operand) -> jax.Array:
    """The bin of each element: the number of edges in ``bins`` that are not above it."""
    return jnp.digitize(x, bins).astype("int32")


# What is where


@operation
def nonzero(x: ArrayLike) -> tuple[jax.Array, ...]:
    """The positions of what is not zero, an array for each axis. Outside compiled code only."""
    return tuple(position.astype("int32") for position in jnp.nonzero(x))


@operation
def isin(x1: Operand, x2: Operand, assume_unique: bool = False, invert: bool = False) -> jax.Array:
    """Whether each element of ``x1`` occurs in ``x2``."""
    return jnp.isin(x1, x2, assume_unique=assume_unique, invert=invert)


@operation
def unique(
    x: ArrayLike,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements, in ascending order.

    Args:
        x: an array.
        sorted: they always are.
        return_index: also return where each occurs first.
        return_inverse: also return which one is in each place of ``x``.
        return_counts: also return how often each occurs.
        axis: compare the parts along an axis instead of single elements.
        size: how many to return; needed inside compiled code.
        fill_value: what to return beyond those there are; the smallest one by default.

    Example:
        >>> unique([3, 1, 3]).tolist()
        [1, 3]
    """
    return jnp.unique(
        x, return_index, return_inverse, return_counts, axis, size=size, fill_value=fill_value
    )


@operation
def unravel_index(indices: ArrayLike, shape: Sequence[int]) -> tuple[jax.Array, ...]:
    """Positions in the flattened array as positions along each axis."""
    return jnp.unravel_index(indices, tuple(shape))
