"""A convolution and the maximum over windows of its outputs, in one pass each way on a CPU.

::

    y = max over windows of relu(x * kernel + bias)

The native kernel stores the maxima alone, with the place of each in a byte, and computes no output
that no window sees. The way back writes the convolution's cotangent, and sums the bias's, from the
maxima's; the products of ``convolution`` do the rest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from nacre.kernels import native_convolution as native, pooling
from nacre.kernels.convolution import (
    Padding,
    Sizes,
    convolve_and_finish,
    geometry_of,
    kernel_gradients,
)
from nacre.kernels.geometry import Geometry
from nacre.kernels.operation import Operation
from nacre.kernels.selection import call
from nacre.kernels.widening import widened

__all__ = ["convolution_max_pool"]

MOST_PLACES = 255  # in a window: a byte names each, and one more for what relu cut

# The kernel for bfloat16 stores channels by so many.
WHOLE_CHANNELS = 16

# Where more of what windows look at lies beside the images, the convolution by itself is faster: it
# takes many images together, and leaves out what lies beside them.
LEAST_INSIDE = 6 / 7

At = tuple[Geometry, Geometry, bool]


def convolution_max_pool(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    pool_size: Sizes,
    pool_strides: Sizes | None = None,
    pool_padding: str = "valid",
    activation: Literal["relu"] | None = None,
    strides: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array | None:
    """``max_pool(convolution(x, kernel, bias, ...), pool_size, ...)`` in one pass.

    Args:
        x, kernel, bias, activation, strides, padding, dilation, groups: as in ``convolution``.
        pool_size, pool_strides, pool_padding: as in ``max_pool``.

    Returns:
        The maxima; None where no kernel computes them in one pass, or not faster: for windows that
        overlap, groups, 64-bit numbers, images hardly larger than their padding, on other
        devices.

    Example:
        >>> import jax.numpy as jnp
        >>> x, kernel = jnp.arange(16.0).reshape(1, 4, 4, 1), jnp.ones((1, 1, 1, 8))
        >>> y = convolution_max_pool(x, kernel, pool_size=2)
        >>> y is None or y[0, :, :, 0].tolist() == [[5.0, 7.0], [13.0, 15.0]]
        True
    """
    geometry = geometry_of(x, kernel, strides, padding, dilation, groups)
    outputs = jax.ShapeDtypeStruct((x.shape[0], *geometry.output, kernel.shape[-1]), x.dtype)
    pool = pooling.geometry_of(outputs, pool_size, pool_strides, pool_padding)
    if not (pooling.fits_kernel(outputs, pool) and native.serves(x, kernel.shape, geometry)):
        return None
    if pool.window != pool.strides or math.prod(pool.window) >= MOST_PLACES or groups > 1:
        return None
    if _share_inside(geometry) < LEAST_INSIDE:
        return None
    if bias is None:
        bias = jnp.zeros(kernel.shape[-1:], x.dtype)
    return _operation((geometry, pool, activation == "relu"), x, kernel, bias)[0]


def _share_inside(geometry: Geometry) -> float:
    """How much of what the windows look at lies on the image."""
    share = 1.0
    for axis, count in enumerate(geometry.output):
        starts = np.arange(count) * geometry.strides[axis] - geometry.padding[axis][0]
        taps = np.arange(geometry.window[axis]) * geometry.dilation[axis]
        places = np.add.outer(starts, taps)
        share *= float(np.mean((places >= 0) & (places < geometry.image[axis])))
    return share


def _meaning(at: At, x: jax.Array, kernel: jax.Array, bias: jax.Array) -> list[jax.Array]:
    geometry, pool, relu = at
    return [pooling.max_portably(pool, convolve_and_finish(x, kernel, bias, geometry, relu))]


def _seen(geometry: Geometry, pool: Geometry) -> tuple[Geometry, Geometry]:
    """The same without the outputs of the convolution that no window of the pool sees."""
    rests = [
        max(0, size - count * width + before)
        for size, count, width, (before, _) in zip(
            pool.image, pool.output, pool.window, pool.padding
        )
    ]
    padding = tuple(
        (before, after - rest * stride)
        for (before, after), rest, stride in zip(geometry.padding, rests, geometry.strides)
    )
    image = tuple(size - rest for size, rest in zip(pool.image, rests))
    return replace(geometry, padding=padding), replace(pool, image=image)


def _places(at: At, x: Any, kernel: Any, bias: Any) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct((x.shape[0], *at[1].output, kernel.shape[-1]), jnp.uint8)]


def _forward(
    at: At, saving: bool, x: jax.Array, kernel: jax.Array, bias: jax.Array
) -> list[jax.Array]:
    geometry, pool = _seen(*at[:2])
    places = _places(at, x, kernel, bias)[0]
    x, kernel = _operands(x, kernel, geometry)
    shapes = [
        jax.ShapeDtypeStruct(places.shape, x.dtype),
        places if saving else jax.ShapeDtypeStruct((0,), jnp.uint8),
    ]
    operands = native.two_axes(x), native.window(kernel), widened(bias)
    attributes: dict[str, Any] = native.settings(geometry)
    loose = geometry.precision == "bf16x3" and _whole(kernel, geometry)
    attributes |= {"windows": _windows(pool), "bf16x3": loose, "relu": at[2]}
    results = call("convolution_pool", shapes, *operands, **attributes)
    return results if saving else results[:1]


def _operands(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> tuple[jax.Array, jax.Array]:
    if not _whole(kernel, geometry):
        return widened(x), widened(kernel)
    return native.operands_of(x, kernel, kernel.shape, geometry)


def _whole(kernel: Any, geometry: Geometry) -> bool:
    """Whether units for bfloat16 take it."""
    return kernel.shape[-1] % WHOLE_CHANNELS == 0 and native.in_bfloat16(kernel.shape, geometry)


def _windows(pool: Geometry) -> Any:
    return pooling.axes(pool)[5:]  # all but the depth


def _backward(
    at: At,
    examples: int,
    operands: Sequence[jax.Array],
    saved: Sequence[jax.Array],
    changes: Sequence[jax.Array | None],
) -> list[Callable[[], jax.Array]]:
    (x, kernel, bias), (change,) = operands, changes
    assert change is not None  # there is but one result
    geometry, pool = _seen(*at[:2])
    x, kernel = native.operands_of(x, kernel, kernel.shape, geometry)
    if x.dtype != change.dtype:
        change = widened(change)
    shape = (x.shape[0], *pool.image, kernel.shape[-1])
    convolved = jax.ShapeDtypeStruct(shape, change.dtype)
    of_bias = jax.ShapeDtypeStruct(bias.shape, jnp.float32)

    @functools.cache
    def unpooled() -> list[jax.Array]:
        """The gradients of the convolution and of the bias."""
        shapes = [convolved, of_bias]
        return call("max_unpool", shapes, change, *saved, windows=_windows(pool))

    def apart(a: jax.Array) -> jax.Array:
        return a.reshape(examples, a.shape[0] // examples, *a.shape[1:])

    def kernel_gradient() -> jax.Array:
        product = functools.partial(native.kernel_gradient, geometry=geometry)
        if examples == 1:
            return product(x, unpooled()[0])
        return kernel_gradients(apart(x), apart(unpooled()[0]), geometry)

    def bias_gradient() -> jax.Array:
        if examples == 1:
            return unpooled()[1]
        c = widened(unpooled()[0])
        return jnp.sum(c.reshape(examples, -1, c.shape[-1]), 1)

    return [
        lambda: native.input_gradient(unpooled()[0], kernel, geometry),
        kernel_gradient,
        bias_gradient,
    ]


_operation = Operation(
    name="convolution_max_pool",
    operands=3,
    results=1,
    saved=1,
    meaning=_meaning,
    forward=_forward,
    shapes_saved=_places,
    backward=_backward,
    with_batch=(True, False, False),
    widens=False,
)
