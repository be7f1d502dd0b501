"""Maximum and average over windows of an image, with gradients that are fast on a CPU.

XLA's own windowed reductions have a slow gradient on its CPU back end. A window's maximum is the
maximum of its rows' maxima, and its sum the sum of their sums, so there one axis is pooled after
another. Windows that do not overlap are a reshape away; others are slices of the image, one for
each place in the window. GPUs and TPUs use XLA's operations. Where there is a native kernel, it
takes overlapping windows in one pass each way, and keeps the place of each maximum in a byte.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nacre.kernels.geometry import Geometry, padding_amounts, per_axis
from nacre.kernels.operation import Operation
from nacre.kernels.selection import call, native
from nacre.kernels.widening import fits_float32, widened

__all__ = ["average_pool", "max_pool"]

Sizes = int | Sequence[int]
PoolAxis = Callable[[jax.Array, int, int, int], jax.Array]

# Longer windows are reduced by XLA: a slice for each place in them would make a large program.
LONGEST_SLICED = 64


def max_pool(
    x: jax.Array, pool_size: Sizes, *, strides: Sizes | None = None, padding: str = "valid"
) -> jax.Array:
    """The maximum over windows, channels last: ``y[n, p, c] = max over t of x[n, p * s + t, c]``.

    Of several equal maxima, the first has the gradient. NaN is larger than any number.

    Args:
        x: shape ``(batch, *image, channels)``.
        pool_size: the size of the window.
        strides: the step from one window to the next; the window's size by default.
        padding: ``"valid"`` or ``"same"``; padding never is the maximum.

    Raises:
        ShapeError: the window is larger than the image.

    Example:
        >>> import jax.numpy as jnp
        >>> max_pool(jnp.arange(5.0).reshape(1, 5, 1), 2)[0, :, 0].tolist()
        [1.0, 3.0]
    """
    geometry = geometry_of(x, pool_size, strides, padding)
    if _has_kernel(x, geometry):
        return _native_max(geometry, x)[0]
    return max_portably(geometry, x)


def max_portably(geometry: Geometry, x: jax.Array) -> jax.Array:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    least = -jnp.inf if floating else jnp.iinfo(x.dtype).min
    wide = widened(x)
    y = _pool(wide, geometry, _max_along, lax.max, np.asarray(least, wide.dtype))
    return y.astype(x.dtype)


def average_pool(
    x: jax.Array, pool_size: Sizes, *, strides: Sizes | None = None, padding: str = "valid"
) -> jax.Array:
    """The mean over windows, channels last; padding does not count.

    Args:
        x: shape ``(batch, *image, channels)``. 16-bit types are summed in float32.
        pool_size, strides, padding: as in :func:`max_pool`.

    Example:
        >>> import jax.numpy as jnp
        >>> average_pool(jnp.arange(5.0).reshape(1, 5, 1), 2, padding="same")[0, :, 0].tolist()
        [0.5, 2.5, 4.0]
    """
    geometry = geometry_of(x, pool_size, strides, padding)
    if _has_kernel(x, geometry):
        return _native_average(geometry, x)[0]
    return _average(geometry, x)


def _average(geometry: Geometry, x: jax.Array) -> jax.Array:
    wide = x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
    total = _pool(wide, geometry, _sum_along, lax.add, np.zeros((), wide.dtype))
    return (total * _inverse_counts(geometry, wide.dtype)).astype(x.dtype)


def geometry_of(x: Any, pool_size: Sizes, strides: Sizes | None, padding: str) -> Geometry:
    image = x.shape[1:-1]
    window = per_axis(pool_size, len(image))
    steps = window if strides is None else per_axis(strides, len(image))
    ones = (1,) * len(image)
    amounts = padding_amounts(padding, image, window, steps, ones)
    geometry = Geometry(image, window, steps, amounts, ones, ones)
    geometry.require_output()
    return geometry


def _inverse_counts(geometry: Geometry, dtype: np.dtype) -> np.ndarray:
    """One over the number of real elements in each window, shape ``(1, *output, 1)``."""
    counts = np.ones((), np.int64)
    for axis, size in enumerate(geometry.output):
        starts = np.arange(size) * geometry.strides[axis] - geometry.padding[axis][0]
        ends = np.minimum(starts + geometry.window[axis], geometry.image[axis])
        counts = np.multiply.outer(counts, ends - np.maximum(starts, 0))
    return (1 / counts[None, ..., None]).astype(dtype)


def _pool(
    x: jax.Array,
    geometry: Geometry,
    along: PoolAxis,
    combine: Callable[..., jax.Array],
    start: np.ndarray,
) -> jax.Array:
    def reduced(x: jax.Array) -> jax.Array:
        return lax.reduce_window(
            x,
            start,
            combine,
            (1, *geometry.window, 1),
            (1, *geometry.strides, 1),
            ((0, 0), *geometry.padding, (0, 0)),
        )

    def sliced(x: jax.Array) -> jax.Array:
        for axis in reversed(
            range(geometry.rank)
        ):  # rows first: the first maximum in reading order
            (before, after), stride = geometry.padding[axis], geometry.strides[axis]
            widths = [(0, 0, 0)] * x.ndim
            widths[axis + 1] = (before, after, 0)
            if before or after:
                x = lax.pad(x, start, widths)
            x = along(x, axis + 1, geometry.window[axis], stride)
        return x

    if max(geometry.window) > LONGEST_SLICED:
        return reduced(x)
    return lax.platform_dependent(x, cpu=sliced, default=reduced)


def _tiles(x: jax.Array, axis: int, width: int) -> jax.Array:
    """Split ``axis`` into (tiles, width), leaving out what does not fill a tile."""
    count = x.shape[axis] // width
    x = lax.slice_in_dim(x, 0, count * width, axis=axis)
    return x.reshape(*x.shape[:axis], count, width, *x.shape[axis + 1 :])


def _places(x: jax.Array, axis: int, width: int, stride: int) -> list[jax.Array]:
    """What each place in the windows along ``axis`` sees."""
    count = (x.shape[axis] - width) // stride + 1
    reach = (count - 1) * stride + 1
    return [lax.slice_in_dim(x, p, p + reach, stride, axis) for p in range(width)]


def _max_along(x: jax.Array, axis: int, width: int, stride: int) -> jax.Array:
    if width == stride:
        return _max_of_tiles(_tiles(x, axis, width), axis + 1)
    return functools.reduce(
        lambda best, new: jnp.where(_exceeds(new, best), new, best),
        _places(x, axis, width, stride),
    )


def _sum_along(x: jax.Array, axis: int, width: int, stride: int) -> jax.Array:
    if width == stride:
        return jnp.sum(_tiles(x, axis, width), axis + 1)
    return functools.reduce(jnp.add, _places(x, axis, width, stride))


def _exceeds(new: jax.Array, best: jax.Array) -> jax.Array:
    return (new > best) | (new != new)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max_of_tiles(tiles: jax.Array, axis: int) -> jax.Array:
    return _first_maximum(tiles, axis)[0]


@_max_of_tiles.defjvp
def _max_of_tiles_jvp(
    axis: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The change of the maximum is that of the first place that holds it.

    Backwards, this is one pass that writes the gradient there and zeros elsewhere.
    """
    (tiles,), (change,) = primals, tangents
    best, place = _first_maximum(tiles, axis)
    here = lax.broadcasted_iota(place.dtype, tiles.shape, axis)
    zero = jnp.zeros((), change.dtype)
    chosen = jnp.where(jnp.expand_dims(place, axis) == here, change, zero)
    return best, jnp.sum(chosen, axis)


def _first_maximum(tiles: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The maximum along ``axis`` and the place where it first stands."""
    first, *others = (
        lax.index_in_dim(tiles, p, axis, keepdims=False) for p in range(tiles.shape[axis])
    )
    best, place = first, jnp.zeros(first.shape, jnp.int8)
    for p, new in enumerate(others, start=1):
        exceeds = _exceeds(new, best)
        best = jnp.where(exceeds, new, best)
        place = jnp.where(exceeds, jnp.int8(p), place)
    return best, place


# The native kernels

# With fewer channels, most of a vector would be empty.
FEWEST_CHANNELS = 8
MOST_PLACES = 255  # in a window, for a byte to name each


def _has_kernel(x: jax.Array, geometry: Geometry) -> bool:
    """Windows that do not overlap are left to XLA, which is as fast, and joins what is around."""
    overlap = any(w > stride for w, stride in zip(geometry.window, geometry.strides))
    return overlap and fits_kernel(x, geometry)


def fits_kernel(x: Any, geometry: Geometry) -> bool:
    """Whether there are native kernels here, and they take arrays and windows like these."""
    if jax.default_backend() != "cpu" or native().library is None:
        return False
    fits = x.shape[-1] >= FEWEST_CHANNELS and math.prod(geometry.window) <= MOST_PLACES
    inside = all(max(padding) < w for padding, w in zip(geometry.padding, geometry.window))
    return fits_float32(x.dtype) and x.size > 0 and fits and inside


def axes(geometry: Geometry) -> np.ndarray:
    """Image, window, stride, padding in front and output, for each of three axes."""
    before = [amounts[0] for amounts in geometry.padding]
    rows = zip(geometry.image, geometry.window, geometry.strides, before, geometry.output)
    return np.asarray([(1, 1, 1, 0, 1)] * (3 - geometry.rank) + list(rows), np.int64).reshape(-1)


def _pooling(name: str, maximum: bool, meaning: Callable[..., jax.Array]) -> Operation:
    def shapes_saved(geometry: Geometry, x: Any) -> list[jax.ShapeDtypeStruct]:
        """The place in its window of each maximum."""
        output = (x.shape[0], *geometry.output, x.shape[-1])
        return [jax.ShapeDtypeStruct(output if maximum else (0,), jnp.uint8)]

    def forward(geometry: Geometry, saving: bool, x: jax.Array) -> list[jax.Array]:
        y = jax.ShapeDtypeStruct((x.shape[0], *geometry.output, x.shape[-1]), jnp.float32)
        nothing = [jax.ShapeDtypeStruct((0,), jnp.uint8)]
        shapes = [y, *(shapes_saved(geometry, x) if saving else nothing)]
        results = call("pool_forward", shapes, x, axes=axes(geometry), maximum=maximum)
        return results if saving else results[:1]

    def backward(
        geometry: Geometry,
        examples: int,
        operands: Sequence[jax.Array],
        saved: Sequence[jax.Array],
        changes: Sequence[jax.Array | None],
    ) -> list[Callable[[], jax.Array]]:
        (x,), (change,) = operands, changes
        if change is None:
            return [lambda: jnp.zeros_like(x)]
        shape = jax.ShapeDtypeStruct(x.shape, jnp.float32)
        settings = {"axes": axes(geometry), "maximum": maximum}
        return [lambda: call("pool_backward", shape, change, *saved, **settings)]

    return Operation(
        name=name,
        operands=1,
        results=1,
        saved=1,
        meaning=lambda geometry, x: [meaning(geometry, x)],
        forward=forward,
        shapes_saved=shapes_saved,
        backward=backward,
        with_batch=(True,),
    )


_native_max = _pooling("max_pool", True, max_portably)
_native_average = _pooling("average_pool", False, _average)
