"""Operations that move a window over space: convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import integers, one_of
from nacre.core.errors import explain
from nacre.kernels import pooling
from nacre.kernels.convolution import convolution, convolution_transpose
from nacre.ops.operation import ArrayLike, Floating, OperationError, operation

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "max_pool",
    "separable_conv",
]

Sizes = int | Sequence[int]


@operation
def conv(
    inputs: Floating,
    kernel: Floating,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """Convolution (without flipping the kernel, as is usual in networks) over 1 to 3 axes.

    Args:
        inputs: (batch, spatial..., channels).
        kernel: (spatial..., channels / groups, filters).
        strides: how far the window moves each time.
        padding: "valid" for none, "same" for as many outputs as inputs (over the stride).
        data_format: "channels_last" (the default) or "channels_first".
        dilation_rate: the distance between the elements of the kernel.

    Returns:
        (batch, spatial..., filters).
    """
    x = channels_last(inputs, data_format)
    channels, in_group = x.shape[-1], kernel.shape[-2]
    if channels % in_group:
        raise OperationError(
            explain(
                "ops.conv: the kernel does not fit the inputs.",
                expected=f"a kernel for {channels} channels, or for a divisor of that",
                received=f"kernel {kernel.shape}, inputs {inputs.shape}",
            )
        )
    outputs = convolution(
        x,
        kernel,
        strides=strides,
        padding=_padding(padding),
        dilation=dilation_rate,
        groups=channels // in_group,
    )
    return as_given(outputs, data_format)


@operation
def depthwise_conv(
    inputs: Floating,
    kernel: Floating,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """Convolution of every channel with kernels of its own.

    Args:
        inputs: (batch, spatial..., channels).
        kernel: (spatial..., channels, multiplier).
        strides, padding, data_format, dilation_rate: as for :func:`conv`.

    Returns:
        (batch, spatial..., channels * multiplier).
    """
    x = channels_last(inputs, data_format)
    outputs = _depthwise(x, kernel, strides, padding, dilation_rate)
    return as_given(outputs, data_format)


@operation
def separable_conv(
    inputs: Floating,
    depthwise_kernel: Floating,
    pointwise_kernel: Floating,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """A depthwise convolution followed by one of size 1 that mixes the channels."""
    x = channels_last(inputs, data_format)
    x = _depthwise(x, depthwise_kernel, strides, padding, dilation_rate)
    return as_given(convolution(x, pointwise_kernel), data_format)


@operation
def conv_transpose(
    inputs: Floating,
    kernel: Floating,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> jax.Array:
    """The transpose of a convolution: what its gradient does to its outputs.

    Args:
        inputs: (batch, spatial..., channels).
        kernel: (spatial..., filters, channels).
        strides: how far apart the inputs are placed.
        padding: "valid" or "same": that of the convolution which this is the transpose of.
        output_padding: where a stride leaves the size open, what to add to the smallest one.
        data_format: "channels_last" (the default) or "channels_first".
        dilation_rate: the distance between the elements of the kernel.

    Returns:
        (batch, spatial..., filters).
    """
    x = channels_last(inputs, data_format)
    rank = x.ndim - 2
    strides, dilation = _sizes("strides", strides, rank), _sizes("dilation", dilation_rate, rank)
    extra = (None,) * rank
    if output_padding is not None:
        extra = integers("ops.conv_transpose", "output_padding", output_padding, rank, minimum=0)
    sizes, around = zip(
        *(
            _transposed(size, (k - 1) * d + 1, s, _padding(padding), more)
            for size, k, s, d, more in zip(x.shape[1:], kernel.shape, strides, dilation, extra)
        )
    )
    outputs = convolution_transpose(
        x, kernel, image=sizes, strides=strides, padding=around, dilation=dilation
    )
    return as_given(outputs, data_format)


def _transposed(
    count: int, reach: int, stride: int, padding: str, extra: int | None
) -> tuple[int, tuple[int, int]]:
    """The size of the result, and the padding of the convolution that leads back from it.

    Args:
        count: the number of windows of that convolution.
        reach: the size of its window, dilation included.
        stride: the step from one window to the next.
        padding: "valid" or "same".
        extra: what ``output_padding`` asks for.
    """
    total = (count - 1) * stride + reach
    if padding == "valid":
        size = total + (max(stride - reach, 0) if extra is None else extra)
        return size, (0, total - size)
    size = count * stride if extra is None else (count - 1) * stride + reach % 2 + extra
    before = max((total - size) // 2, 0)
    return size, (before, total - size - before)


def _depthwise(
    x: jax.Array, kernel: jax.Array, strides: Sizes, padding: str, dilation: Sizes
) -> jax.Array:
    *window, channels, multiplier = kernel.shape
    return convolution(
        x,
        kernel.reshape(*window, 1, channels * multiplier),
        strides=strides,
        padding=_padding(padding),
        dilation=dilation,
        groups=channels,
    )


def _sizes(argument: str, value: Any, rank: int) -> tuple[int, ...]:
    return integers("ops", argument, value, rank)


def _padding(padding: str) -> str:
    return one_of("ops", "padding", padding.lower(), ("valid", "same"))


def channels_last(x: jax.Array, data_format: str | None) -> jax.Array:
    """``x`` with the channels in the last axis."""
    formats = ("channels_last", "channels_first")
    one_of("ops", "data_format", data_format or formats[0], formats)
    return jnp.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def as_given(x: jax.Array, data_format: str | None) -> jax.Array:
    """The inverse of :func:`channels_last`."""
    return jnp.moveaxis(x, -1, 1) if data_format == "channels_first" else x


# Pooling


@operation
def max_pool(
    inputs: ArrayLike,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """The largest element in each window.

    Args:
        inputs: (batch, spatial..., channels).
        pool_size: the size of the window.
        strides: how far it moves each time, its own size by default.
        padding: "valid" or "same".
        data_format: "channels_last" (the default) or "channels_first".

    Example:
        >>> max_pool([[[1.0], [5.0], [3.0], [2.0]]], 2).tolist()
        [[[5.0], [3.0]]]
    """
    x = channels_last(inputs, data_format)
    return as_given(pooling.max_pool(x, **_window(x, pool_size, strides, padding)), data_format)


@operation
def average_pool(
    inputs: Floating,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """The mean of each window; what is padded does not count.

    Args:
        inputs: (batch, spatial..., channels).
        pool_size, strides, padding, data_format: as for :func:`max_pool`.

    Example:
        >>> average_pool([[[1.0], [5.0], [3.0], [2.0]]], 2).tolist()
        [[[3.0], [2.5]]]
    """
    x = channels_last(inputs, data_format)
    return as_given(pooling.average_pool(x, **_window(x, pool_size, strides, padding)), data_format)


def _window(x: jax.Array, pool_size: Sizes, strides: Sizes | None, padding: str) -> dict[str, Any]:
    rank = x.ndim - 2
    return {
        "pool_size": _sizes("pool_size", pool_size, rank),
        "strides": None if strides is None else _sizes("strides", strides, rank),
        "padding": _padding(padding),
    }


@operation
def adaptive_max_pool(
    inputs: ArrayLike, output_size: Sizes, data_format: str | None = None
) -> jax.Array:
    """The largest element in each of ``output_size`` windows that cover an axis."""
    return _adaptive(inputs, output_size, data_format, jnp.max)


@operation
def adaptive_average_pool(
    inputs: Floating, output_size: Sizes, data_format: str | None = None
) -> jax.Array:
    """The mean of each of ``output_size`` windows that cover an axis.

    Example:
        >>> adaptive_average_pool([[[1.0], [2.0], [3.0], [5.0]]], 2).tolist()
        [[[1.5], [4.0]]]
    """
    return _adaptive(inputs, output_size, data_format, jnp.mean)


def _adaptive(
    inputs: jax.Array, output_size: Any, data_format: str | None, reduce: Callable[..., Any]
) -> jax.Array:
    x = channels_last(inputs, data_format)
    for axis, count in enumerate(_sizes("output_size", output_size, x.ndim - 2), start=1):
        size = x.shape[axis]
        # Window i begins at floor(i * size / count) and ends at ceil((i + 1) * size / count).
        bounds = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        parts = [jax.lax.slice_in_dim(x, start, stop, axis=axis) for start, stop in bounds]
        x = jnp.concatenate([reduce(part, axis=axis, keepdims=True) for part in parts], axis)
    return as_given(x, data_format)
