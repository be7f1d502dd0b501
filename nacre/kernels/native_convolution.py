"""The three products of a convolution as calls of the native kernels.

They take float32 images and kernels of two spatial axes; one axis is an image of height 1. 16-bit
types are widened, unless the machine has faster units for bfloat16. All else takes the portable
form.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.kernels import portable, selection
from nacre.kernels.geometry import Geometry
from nacre.kernels.widening import fits_float32, widened

__all__ = [
    "convolve",
    "in_bfloat16",
    "input_gradient",
    "kernel_gradient",
    "operands_of",
    "serves",
]

# With fewer channels, what multiplies bfloat16 would be nearly empty.
FEWEST_CHANNELS = 16


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    geometry: Geometry,
    bias: jax.Array | None = None,
    relu: bool = False,
) -> jax.Array:
    """Each output sums its window times the kernel; a bias and max(y, 0) in the same pass.

    The last two may be asked for only where the native kernel serves.
    """
    shape = (x.shape[0], *geometry.output, kernel.shape[-1])
    given = bias is not None
    extra = widened(bias) if given else jnp.zeros((0,), jnp.float32)
    a, b = operands_of(x, kernel, kernel.shape, geometry)
    if serves(x, kernel.shape, geometry):
        y = _call("convolution", shape, geometry, two_axes(a), window(b), extra, relu=relu)
    else:
        y = portable.convolve(a, b, geometry)
    return y.astype(x.dtype)


def input_gradient(cotangent: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of the convolution in its image."""
    shape = (cotangent.shape[0], *geometry.image, kernel.shape[-2] * geometry.groups)
    a, b = operands_of(cotangent, kernel, kernel.shape, geometry)
    if serves(cotangent, kernel.shape, geometry):
        x = _call("convolution_input_gradient", shape, geometry, two_axes(a), window(b))
    else:
        x = portable.input_gradient(a, b, geometry)
    return x.astype(cotangent.dtype)


def kernel_gradient(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of the convolution in its kernel."""
    shape = (*geometry.window, x.shape[-1] // geometry.groups, cotangent.shape[-1])
    a, b = operands_of(x, cotangent, shape, geometry)
    if serves(x, shape, geometry):
        operands = two_axes(a), two_axes(b)
        kernel = _call("convolution_kernel_gradient", shape, geometry, *operands, of_kernel=True)
    else:
        kernel = portable.kernel_gradient(a, b, geometry)
    return kernel.astype(x.dtype)


def serves(x: Any, kernel: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether the native kernels take this convolution."""
    return (
        selection.native().library is not None
        and fits_float32(x.dtype)
        and geometry.rank <= 2
        and set(geometry.spread) == {1}
        and min(math.prod(kernel), math.prod(geometry.output), math.prod(geometry.image)) > 0
    )


def in_bfloat16(kernel: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether units for bfloat16 take what has operands of that type, or may be made of it."""
    return geometry.groups == 1 and min(kernel[-2:]) >= FEWEST_CHANNELS


def operands_of(
    a: jax.Array, b: jax.Array, kernel: tuple[int, ...], geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    """Both as the native or portable form takes them: 16-bit types widened where it needs that."""
    halves = geometry.precision == "bfloat16" and bool(selection.native().bfloat16)
    if halves and in_bfloat16(kernel, geometry) and serves(a, kernel, geometry):
        return a, b
    return widened(a), widened(b)


def _call(
    name: str,
    shape: tuple[int, ...],
    geometry: Geometry,
    *operands: jax.Array,
    of_kernel: bool = False,
    **attributes: Any,
) -> jax.Array:
    """Call a kernel; the result gets the number of axes that ``shape`` has.

    The gradient of a kernel is not rounded: XLA does that, unless the sums are widened again.
    """
    if geometry.rank == 2:
        with_two = shape
    else:
        with_two = (1, *shape) if of_kernel else (shape[0], 1, *shape[1:])
    kernel = shape if of_kernel else operands[1].shape
    result = selection.call(
        name,
        jax.ShapeDtypeStruct(with_two, jnp.float32 if of_kernel else operands[0].dtype),
        *operands,
        groups=np.int64(geometry.groups),
        bf16x3=geometry.precision == "bf16x3" and in_bfloat16(kernel, geometry),
        **settings(geometry),
        **attributes,
    )
    return result.reshape(shape)


def settings(geometry: Geometry) -> dict[str, np.ndarray]:
    """How the windows lie, along two axes, as the kernels take it."""
    return {
        "strides": _pair(geometry.strides, 1),
        "dilation": _pair(geometry.dilation, 1),
        "before": _pair(tuple(before for before, _ in geometry.padding), 0),
    }


def _pair(numbers: tuple[int, ...], of_height: int) -> np.ndarray:
    return np.array(numbers if len(numbers) == 2 else (of_height, *numbers), np.int64)


def two_axes(images: jax.Array) -> jax.Array:
    """The images with two spatial axes."""
    return images if images.ndim == 4 else images[:, None]


def window(kernel: jax.Array) -> jax.Array:
    """The kernel with two spatial axes."""
    return kernel if kernel.ndim == 4 else kernel[None]
