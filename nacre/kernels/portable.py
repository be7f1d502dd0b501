"""The three products of a convolution, in a form that XLA's CPU compiler runs well.

Left to itself, that compiler takes seconds where milliseconds would do: it has a fast routine for
one layout of the operands (images with channels last, kernels with inputs before outputs), and
inside a loop it no longer brings the gradients' operands into that layout; it has none for grouped
and three-dimensional convolutions. So here every gradient is written in that layout or as matrix
products, groups become block-diagonal or elementwise products, and depth becomes a sum.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from nacre.kernels.geometry import Geometry, extent
from nacre.kernels.widening import in_single_precision

__all__ = ["convolve", "input_gradient", "kernel_gradient"]

# Groups are merged until a block has about this many channels: enough to keep a matrix product
# busy, and few enough that the zeros in a block-diagonal kernel cost little.
BLOCK_CHANNELS = 64
# Up to this many outputs for its one input, a channel is better multiplied than blocked.
DEPTHWISE_OUTPUTS = 4
# The taps along a row are laid side by side into one matrix product up to this many columns.
ROW_COLUMNS = 512


@in_single_precision
def convolve(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The convolution itself: each output sums its window times the kernel."""
    if geometry.groups == 1:
        return _plain(x, kernel, geometry)
    if _is_depthwise(kernel, geometry):
        return _depthwise(x, kernel, geometry)
    blocks = _merged(geometry, kernel.shape[-2], kernel.shape[-1] // geometry.groups)
    inside = replace(geometry, groups=1)
    images = jnp.split(x, blocks, axis=-1)
    kernels = jnp.split(kernel, blocks, axis=-1)
    groups = geometry.groups // blocks
    outputs = [_plain(i, _block_diagonal(k, groups), inside) for i, k in zip(images, kernels)]
    return jnp.concatenate(outputs, axis=-1)


def input_gradient(cotangent: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of the convolution in its image: one with the kernel turned around."""
    groups, window = geometry.groups, geometry.window
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // groups
    turned = kernel[(slice(None, None, -1),) * geometry.rank]
    turned = turned.reshape(*window, inputs, groups, outputs)
    turned = jnp.moveaxis(turned, -1, -3)  # (*window, outputs, inputs, groups)
    turned = jnp.swapaxes(turned, -1, -2).reshape(*window, outputs, groups * inputs)
    return convolve(cotangent, turned, geometry.adjoint())


@in_single_precision
def kernel_gradient(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of the convolution in its kernel: a matrix product for each row of taps."""
    groups = geometry.groups
    if groups == 1:
        return _plain_kernel_gradient(x, cotangent, geometry)
    inputs, outputs = x.shape[-1] // groups, cotangent.shape[-1] // groups
    if inputs == 1 and outputs <= DEPTHWISE_OUTPUTS:
        return _depthwise_kernel_gradient(x, cotangent, geometry)
    blocks = _merged(geometry, inputs, outputs)
    inside = replace(geometry, groups=1)
    gradients = []
    for image, change in zip(jnp.split(x, blocks, axis=-1), jnp.split(cotangent, blocks, axis=-1)):
        dense = _plain_kernel_gradient(image, change, inside)
        gradients.append(_diagonal_blocks(dense, groups // blocks))
    return jnp.concatenate(gradients, axis=-1)


# One group


def _plain(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    if geometry.rank == 3:
        return _sum_over_depth(x, kernel, geometry)
    axes = {1: "W", 2: "HW"}[geometry.rank]
    if min(map(min, geometry.padding)) < 0:
        # XLA's own would read beside the image where more is cut off than a window is wide. The
        # barrier keeps it from making this part of the convolution again.
        amounts = [(*pair, spread - 1) for pair, spread in zip(geometry.padding, geometry.spread)]
        x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *amounts, (0, 0, 0)])
        x = lax.optimization_barrier(x)
        nothing = ((0, 0),) * geometry.rank
        geometry = replace(
            geometry, image=x.shape[1:-1], padding=nothing, spread=(1,) * geometry.rank
        )
    return lax.conv_general_dilated(
        x,
        kernel,
        geometry.strides,
        geometry.padding,
        lhs_dilation=geometry.spread,
        rhs_dilation=geometry.dilation,
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
    )


def _sum_over_depth(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """A three-dimensional convolution as a sum of two-dimensional ones, one for each depth tap."""
    slices = _slices(x, geometry, axes=1)
    flat = Geometry(*(getattr(geometry, name)[1:] for name in PER_AXIS))
    batch, depth = x.shape[0], geometry.output[0]
    planes = (
        _plain(part.reshape(batch * depth, *part.shape[2:]), taps, flat)
        for part, taps in zip(slices, kernel)
    )
    total = functools.reduce(jnp.add, planes)
    return total.reshape(batch, *geometry.output, kernel.shape[-1])


def _plain_kernel_gradient(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    inputs, outputs = x.shape[-1], cotangent.shape[-1]
    changes = cotangent.reshape(-1, outputs)  # (positions, outputs)
    side_by_side = max(1, min(geometry.window[-1], ROW_COLUMNS // inputs))
    rows = []
    windows = _slices(x, geometry, axes=geometry.rank)
    while taps := list(itertools.islice(windows, side_by_side)):
        # The barrier keeps the copy out of the product, which runs on plain buffers only.
        columns = lax.optimization_barrier(jnp.concatenate(taps, axis=-1))
        columns = columns.reshape(-1, len(taps) * inputs)
        product = columns.T @ changes  # (taps * inputs, outputs)
        rows.append(product.reshape(len(taps), inputs, outputs))
    return jnp.concatenate(rows).reshape(*geometry.window, inputs, outputs)


PER_AXIS = ("image", "window", "strides", "padding", "dilation", "spread")


def _slices(x: jax.Array, geometry: Geometry, axes: int) -> Iterator[jax.Array]:
    """What each tap sees of the image, tap after tap, along the first ``axes`` spatial axes."""
    configuration = [
        (before, after, spread - 1)
        for (before, after), spread in zip(geometry.padding[:axes], geometry.spread)
    ]
    untouched = [(0, 0, 0)] * (x.ndim - 1 - axes)
    # The barrier keeps the padding from being worked out anew for each tap.
    x = lax.optimization_barrier(
        lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *configuration, *untouched])
    )
    reach = [extent(n, s) for n, s in zip(geometry.output[:axes], geometry.strides)]
    for tap in itertools.product(*map(range, geometry.window[:axes])):
        starts = [t * step for t, step in zip(tap, geometry.dilation)]
        yield x[
            (
                slice(None),
                *(slice(a, a + r, s) for a, r, s in zip(starts, reach, geometry.strides)),
            )
        ]


# One input channel in each group


def _is_depthwise(kernel: jax.Array, geometry: Geometry) -> bool:
    return kernel.shape[-2] == 1 and kernel.shape[-1] <= DEPTHWISE_OUTPUTS * geometry.groups


def _depthwise(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    outputs = kernel.shape[-1] // geometry.groups
    taps = kernel.reshape(math.prod(geometry.window), *[1] * (x.ndim - 1), -1, outputs)
    windows = _slices(x, geometry, axes=geometry.rank)
    columns = [
        functools.reduce(jnp.add, (window * tap for window, tap in zip(seen, taps[..., k])))
        for k, seen in enumerate(itertools.tee(windows, outputs))
    ]
    y = columns[0] if outputs == 1 else jnp.stack(columns, axis=-1)
    return y.reshape(*y.shape[: x.ndim - 1], kernel.shape[-1])


def _depthwise_kernel_gradient(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    outputs = cotangent.shape[-1] // geometry.groups
    split = cotangent.reshape(*cotangent.shape[:-1], geometry.groups, outputs)
    axes = tuple(range(x.ndim - 1))
    # The barrier separates product and sum: fused, the sum runs one element at a time.
    gradients = [
        jnp.sum(lax.optimization_barrier(window * split[..., k]), axes)
        for window in _slices(x, geometry, axes=geometry.rank)
        for k in range(outputs)
    ]
    stacked = jnp.stack(gradients).reshape(-1, outputs, geometry.groups)
    return jnp.swapaxes(stacked, 1, 2).reshape(*geometry.window, 1, cotangent.shape[-1])


# Several groups


def _merged(geometry: Geometry, inputs: int, outputs: int) -> int:
    """The number of blocks that the groups are merged into."""
    most = max(1, BLOCK_CHANNELS // max(inputs, outputs))
    divisors = [n for n in range(1, geometry.groups + 1) if geometry.groups % n == 0]
    return geometry.groups // max(n for n in divisors if n <= most)


def _block_diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """The kernel of one group that does what ``groups`` groups do."""
    *window, inputs, outputs = kernel.shape
    split = kernel.reshape(*window, 1, inputs, groups, outputs // groups)
    same_group = jnp.eye(groups, dtype=kernel.dtype).reshape(
        *[1] * len(window), groups, 1, groups, 1
    )
    return (split * same_group).reshape(*window, groups * inputs, outputs)


def _diagonal_blocks(kernel: jax.Array, groups: int) -> jax.Array:
    """The transpose of :func:`_block_diagonal`."""
    *window, inputs, outputs = kernel.shape
    split = kernel.reshape(*window, groups, inputs // groups, groups, outputs // groups)
    diagonal = jnp.diagonal(split, axis1=-4, axis2=-2)  # (*window, inputs, outputs, groups)
    return jnp.swapaxes(diagonal, -1, -2).reshape(*window, inputs // groups, outputs)
