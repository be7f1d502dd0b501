"""Operations that move elements about: shapes, axes, joining, splitting, padding, repeating."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.errors import ArgumentError, explain
from nacre.ops.families import axes as as_axes, unary
from nacre.ops.operation import ArrayLike, Operand, Operands, OperationError, operation

__all__ = [
    "append",
    "array_split",
    "broadcast_to",
    "concatenate",
    "depth_to_space",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "dsplit",
    "dstack",
    "expand_dims",
    "extract_sequences",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "hstack",
    "moveaxis",
    "pad",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "space_to_depth",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unstack",
    "view_as_complex",
    "view_as_real",
    "vsplit",
    "vstack",
]

ravel = unary(jnp.ravel, "The elements in one row.")
fliplr = unary(jnp.fliplr, "The second axis reversed.")
flipud = unary(jnp.flipud, "The first axis reversed.")


# Axes


@operation
def reshape(x: ArrayLike, newshape: Sequence[int | None] | int) -> jax.Array:
    """The same elements in another shape.

    Args:
        x: an array.
        newshape: the sizes; one of them may be -1, and is found from the others. None, which is
            what ``shape`` has for the sizes that a symbolic tensor does not know, stands for the
            size that ``x`` has in the same place, or for -1 if it is the only one.

    Example:
        >>> reshape([1, 2, 3, 4], (2, -1)).tolist()
        [[1, 2], [3, 4]]
    """
    sizes: list[Any] = list(newshape) if isinstance(newshape, list | tuple) else [newshape]
    if sizes.count(None) == 1 and -1 not in sizes:
        sizes[sizes.index(None)] = -1
    kept = (x.shape[axis] if size is None else size for axis, size in enumerate(sizes))
    return jnp.reshape(x, tuple(kept))


@operation
def expand_dims(x: ArrayLike, axis: int | Sequence[int]) -> jax.Array:
    """New axes of size 1 at the places ``axis`` of the result.

    Example:
        >>> expand_dims([1, 2], axis=-1).shape
        (2, 1)
    """
    return jnp.expand_dims(x, as_axes(axis))


@operation
def squeeze(x: ArrayLike, axis: int | Sequence[int] | None = None) -> jax.Array:
    """Without the axes of size 1: all of them, or those in ``axis``.

    Example:
        >>> squeeze([[[1], [2]]], axis=0).shape
        (2, 1)
    """
    return jnp.squeeze(x, as_axes(axis))


@operation
def transpose(x: ArrayLike, axes: Sequence[int] | None = None) -> jax.Array:
    """The axes in another order; reversed by default.

    Example:
        >>> transpose([[1, 2], [3, 4]]).tolist()
        [[1, 3], [2, 4]]
    """
    return jnp.transpose(x, as_axes(axes))


@operation
def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> jax.Array:
    """Two axes in each other's place."""
    return jnp.swapaxes(x, axis1, axis2)


@operation
def moveaxis(
    x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]
) -> jax.Array:
    """Axes moved to other places; the rest keep their order."""
    return jnp.moveaxis(x, source, destination)


@operation
def broadcast_to(x: ArrayLike, shape: Sequence[int]) -> jax.Array:
    """``x`` repeated along its axes of size 1, and new ones on the left, up to ``shape``."""
    return jnp.broadcast_to(x, tuple(shape))


@operation
def flip(x: ArrayLike, axis: int | Sequence[int] | None = None) -> jax.Array:
    """Axes reversed: all of them, or those in ``axis``."""
    return jnp.flip(x, as_axes(axis))


@operation
def rot90(array: ArrayLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> jax.Array:
    """Turned by ``k`` quarters, from the first of ``axes`` towards the second."""
    return jnp.rot90(array, k, (axes[0], axes[1]))


@operation
def roll(
    x: ArrayLike, shift: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> jax.Array:
    """Elements moved on by ``shift`` places; what falls off the end comes in at the start.

    Example:
        >>> roll([1, 2, 3], 1).tolist()
        [3, 1, 2]
    """
    return jnp.roll(x, shift, as_axes(axis))


# Joining and splitting


@operation
def concatenate(xs: Operands, axis: int | None = 0) -> jax.Array:
    """Arrays joined along an axis they have; of their common data type.

    Example:
        >>> concatenate([[1, 2], [3]]).tolist()
        [1, 2, 3]
    """
    return jnp.concatenate(xs, axis)


@operation
def stack(x: Operands, axis: int = 0) -> jax.Array:
    """Arrays of one shape joined along a new axis.

    Example:
        >>> stack([[1, 2], [3, 4]], axis=1).tolist()
        [[1, 3], [2, 4]]
    """
    return jnp.stack(x, axis)


@operation
def hstack(xs: Operands) -> jax.Array:
    """Arrays joined along the second axis (vectors along their first)."""
    return jnp.hstack(xs)


@operation
def vstack(xs: Operands) -> jax.Array:
    """Arrays joined along the first axis (vectors as rows)."""
    return jnp.vstack(xs)


@operation
def dstack(xs: Operands) -> jax.Array:
    """Arrays joined along the third axis."""
    return jnp.dstack(xs)


@operation
def append(x1: Operand, x2: Operand, axis: int | None = None) -> jax.Array:
    """``x2`` after ``x1`` along an axis; by default both are flattened first."""
    return jnp.append(x1, x2, axis)


@operation
def split(x: ArrayLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[jax.Array]:
    """Equal parts along an axis, or parts that begin at the given indices.

    Example:
        >>> [part.tolist() for part in split([1, 2, 3, 4], 2)]
        [[1, 2], [3, 4]]
    """
    return jnp.split(x, _cuts(indices_or_sections), axis)


@operation
def array_split(
    x: ArrayLike, indices_or_sections: int | Sequence[int], axis: int = 0
) -> list[jax.Array]:
    """Parts along an axis, whose sizes differ by 1 at most."""
    return jnp.array_split(x, _cuts(indices_or_sections), axis)


@operation
def hsplit(x: ArrayLike, indices_or_sections: int | Sequence[int]) -> list[jax.Array]:
    """Parts along the second axis."""
    return jnp.hsplit(x, _cuts(indices_or_sections))


@operation
def vsplit(x: ArrayLike, indices_or_sections: int | Sequence[int]) -> list[jax.Array]:
    """Parts along the first axis."""
    return jnp.vsplit(x, _cuts(indices_or_sections))


@operation
def dsplit(x: ArrayLike, indices_or_sections: int | Sequence[int]) -> list[jax.Array]:
    """Parts along the third axis."""
    return jnp.dsplit(x, _cuts(indices_or_sections))


def _cuts(indices_or_sections: Any) -> Any:
    return (
        tuple(indices_or_sections)
        if isinstance(indices_or_sections, list)
        else (indices_or_sections)
    )


@operation
def unstack(x: ArrayLike, num: int | None = None, axis: int = 0) -> list[jax.Array]:
    """The parts of size 1 along an axis, without that axis.

    Example:
        >>> [part.tolist() for part in unstack([[1, 2], [3, 4]])]
        [[1, 2], [3, 4]]
    """
    if num is not None and num != x.shape[axis]:
        raise OperationError(
            explain(f"ops.unstack: axis {axis} has another size.", expected=num, received=x.shape)
        )
    return [jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]


# Repeating and padding


@operation
def repeat(x: ArrayLike, repeats: int | Sequence[int], axis: int | None = None) -> jax.Array:
    """Each element repeated in place.

    Example:
        >>> repeat([1, 2], 2).tolist()
        [1, 1, 2, 2]
    """
    return jnp.repeat(x, np.asarray(repeats), axis)


@operation
def tile(x: ArrayLike, repeats: int | Sequence[int]) -> jax.Array:
    """The whole repeated, so many times along each axis.

    Example:
        >>> tile([1, 2], 2).tolist()
        [1, 2, 1, 2]
    """
    return jnp.tile(x, tuple(repeats) if isinstance(repeats, list) else repeats)


@operation
def pad(
    x: ArrayLike,
    pad_width: int | Sequence[Any],
    mode: str = "constant",
    constant_values: float | None = None,
) -> jax.Array:
    """Elements added around an array.

    Args:
        x: an array.
        pad_width: how many to add before and after: one number, a pair, or a pair for each axis.
        mode: "constant", "reflect", "symmetric", "edge", "wrap" and what else NumPy has.
        constant_values: what to add in the mode "constant", 0 by default.

    Example:
        >>> pad([1, 2], (1, 2)).tolist()
        [0, 1, 2, 0, 0]
    """
    if constant_values is None:
        return jnp.pad(x, pad_width, mode)
    if mode != "constant":
        raise ArgumentError(
            explain(
                "ops.pad: constant_values belongs to the mode 'constant'.",
                received=f"mode={mode!r}, constant_values={constant_values!r}",
                fix="leave constant_values out.",
            )
        )
    return jnp.pad(x, pad_width, mode, constant_values=constant_values)


# Diagonals


@operation
def diag(x: ArrayLike, k: int = 0) -> jax.Array:
    """The ``k``-th diagonal of a matrix, or the matrix with a vector as its diagonal."""
    return jnp.diag(x, k)


@operation
def diagflat(x: ArrayLike, k: int = 0) -> jax.Array:
    """The matrix with the elements of ``x`` as its ``k``-th diagonal."""
    return jnp.diagflat(x, k)


@operation
def diagonal(x: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> jax.Array:
    """The diagonals of the matrices in two of the axes."""
    return jnp.diagonal(x, offset, axis1, axis2)


@operation
def tril(x: ArrayLike, k: int = 0) -> jax.Array:
    """``x`` on and below the ``k``-th diagonal, zero above."""
    return jnp.tril(x, k)


@operation
def triu(x: ArrayLike, k: int = 0) -> jax.Array:
    """``x`` on and above the ``k``-th diagonal, zero below."""
    return jnp.triu(x, k)


@operation
def diff(a: ArrayLike, n: int = 1, axis: int = -1) -> jax.Array:
    """The differences between neighbours, taken ``n`` times."""
    return jnp.diff(a, n, axis)


# Blocks


@operation
def space_to_depth(x: ArrayLike, block_size: int, data_format: str = "channels_last") -> jax.Array:
    """Blocks of pixels moved into the channels: (N, H, W, C) to (N, H/b, W/b, C b^2)."""
    if data_format == "channels_first":
        x = jnp.moveaxis(x, 1, -1)
    b, (n, height, width, channels) = block_size, x.shape
    x = x.reshape(n, height // b, b, width // b, b, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # (N, H/b, W/b, b, b, C)
    x = x.reshape(n, height // b, width // b, b * b * channels)
    return jnp.moveaxis(x, -1, 1) if data_format == "channels_first" else x


@operation
def depth_to_space(x: ArrayLike, block_size: int, data_format: str = "channels_last") -> jax.Array:
    """Channels moved into blocks of pixels: (N, H, W, C b^2) to (N, H b, W b, C)."""
    if data_format == "channels_first":
        x = jnp.moveaxis(x, 1, -1)
    b, (n, height, width, channels) = block_size, x.shape
    x = x.reshape(n, height, width, b, b, channels // b**2)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # (N, H, b, W, b, C)
    x = x.reshape(n, height * b, width * b, channels // b**2)
    return jnp.moveaxis(x, -1, 1) if data_format == "channels_first" else x


@operation
def extract_sequences(x: ArrayLike, sequence_length: int, sequence_stride: int) -> jax.Array:
    """The stretches of a signal that begin every so many steps: (..., T) to (..., n, length).

    Example:
        >>> extract_sequences([1, 2, 3, 4], 2, 1).tolist()
        [[1, 2], [2, 3], [3, 4]]
    """
    count = 1 + (x.shape[-1] - sequence_length) // sequence_stride
    starts = jnp.arange(count) * sequence_stride
    return x[..., starts[:, None] + jnp.arange(sequence_length)]


@operation
def view_as_complex(x: ArrayLike) -> jax.Array:
    """Pairs of numbers in the last axis as complex numbers."""
    return jax.lax.complex(x[..., 0], x[..., 1])


@operation
def view_as_real(x: ArrayLike) -> jax.Array:
    """Complex numbers as pairs in a new last axis."""
    return jnp.stack([jnp.real(x), jnp.imag(x)], axis=-1)
