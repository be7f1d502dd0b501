"""The three products of a convolution as calls of the native kernels.

They take float32 images and kernels of two spatial axes; one axis is an image of height 1, and
16-bit types are widened. All else takes the portable form.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.kernels import portable, selection
from nacre.kernels.geometry import Geometry
from nacre.kernels.widening import in_single_precision

__all__ = ["convolve", "input_gradient", "kernel_gradient", "serves"]


@in_single_precision
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
    if not serves(x, kernel.shape, geometry):
        return portable.convolve(x, kernel, geometry)
    if bias is None:
        bias = jnp.zeros((0,), jnp.float32)
    shape = (x.shape[0], *geometry.output, kernel.shape[-1])
    return _call("convolution", shape, geometry, two_axes(x), window(kernel), bias, relu=relu)


@in_single_precision
def input_gradient(cotangent: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of the convolution in its image."""
    if not serves(cotangent, kernel.shape, geometry):
        return portable.input_gradient(cotangent, kernel, geometry)
    shape = (cotangent.shape[0], *geometry.image, kernel.shape[-2] * geometry.groups)
    operands = two_axes(cotangent), window(kernel)
    return _call("convolution_input_gradient", shape, geometry, *operands)


@in_single_precision
def kernel_gradient(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of the convolution in its kernel."""
    shape = (*geometry.window, x.shape[-1] // geometry.groups, cotangent.shape[-1])
    if not serves(x, shape, geometry):
        return portable.kernel_gradient(x, cotangent, geometry)
    operands = two_axes(x), two_axes(cotangent)
    return _call("convolution_kernel_gradient", shape, geometry, *operands, of_kernel=True)


def serves(x: Any, kernel: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether the native kernels take this convolution."""
    return (
        selection.native().library is not None
        and x.dtype == jnp.float32
        and geometry.rank <= 2
        and set(geometry.spread) == {1}
        and min(math.prod(kernel), math.prod(geometry.output), math.prod(geometry.image)) > 0
    )


def _call(
    name: str,
    shape: tuple[int, ...],
    geometry: Geometry,
    *operands: jax.Array,
    of_kernel: bool = False,
    **attributes: Any,
) -> jax.Array:
    """Call a kernel; the result gets the number of axes that ``shape`` has."""
    if geometry.rank == 2:
        with_two = shape
    else:
        with_two = (1, *shape) if of_kernel else (shape[0], 1, *shape[1:])
    result = selection.call(
        name,
        jax.ShapeDtypeStruct(with_two, jnp.float32),
        *operands,
        groups=np.int64(geometry.groups),
        parts=selection.PARTS[geometry.precision],
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
