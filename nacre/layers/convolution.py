"""Convolution layers: a small kernel slides over time, images or volumes."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from nacre import activations
from nacre.core.arguments import integers, one_of, positive_integer
from nacre.core.errors import ArgumentError, ShapeError, explain
from nacre.core.layer import Layer, check_rank
from nacre.core.registry import register
from nacre.core.scope import offer_max_pool
from nacre.kernels import convolution, convolution_max_pool

__all__ = ["Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "SeparableConv2D"]

AXES = {1: "(batch, time, channels)", 2: "(batch, height, width, channels)"}
AXES[3] = "(batch, depth, height, width, channels)"


class Convolution(Layer):
    """What the convolutions share: the geometry, the bias and the activation."""

    rank: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        owner = type(self).__name__
        choices = ("valid", "same", "causal") if self.rank == 1 else ("valid", "same")
        formats = (None, "channels_last", "channels_first")
        self.filters = positive_integer(owner, "filters", filters)
        self.kernel_size = integers(owner, "kernel_size", kernel_size, self.rank)
        self.strides = integers(owner, "strides", strides, self.rank)
        self.padding = one_of(owner, "padding", _lower(padding), choices)
        self.data_format = one_of(owner, "data_format", data_format, formats)
        self.dilation_rate = integers(owner, "dilation_rate", dilation_rate, self.rank)
        self.groups = positive_integer(owner, "groups", groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        if filters % groups:
            raise ArgumentError(
                explain(
                    f"{owner}: the filters cannot be shared out among the groups.",
                    expected=f"filters that are a multiple of groups={groups}",
                    received=f"filters={filters}",
                    fix=f"filters={-(-filters // groups) * groups}, or other groups.",
                )
            )

    def call(self, x: jax.Array) -> jax.Array:
        x = self.channels_last(x)
        inputs = x.shape[-1]
        if inputs % self.groups:
            raise ShapeError(
                explain(
                    f"{self._where()} cannot share out its input channels among its groups.",
                    expected=f"channels that are a multiple of groups={self.groups}",
                    received=f"{inputs} channels",
                )
            )
        kernel = self.weight(
            "kernel",
            (*self.kernel_size, inputs // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        return self.convolve(x, kernel, self.bias(self.filters), self.groups)

    def channels_last(self, x: jax.Array) -> jax.Array:
        """The images in the kernels' own order of axes, in the compute type."""
        axes = AXES[self.rank]
        fix = "add the axis that is missing: x[..., None] for one channel, x[None] for one example."
        check_rank(self, x, self.rank + 2, axes, fix)
        x = x.astype(self.compute_dtype)
        return jnp.moveaxis(x, 1, -1) if self.data_format == "channels_first" else x

    def bias(self, outputs: int) -> jax.Array | None:
        """b, or None without it."""
        if not self.use_bias:
            return None
        return self.weight(
            "bias", (outputs,), self.bias_initializer, regularizer=self.bias_regularizer
        )

    def convolve(
        self, x: jax.Array, kernel: jax.Array, bias: jax.Array | None, groups: int
    ) -> jax.Array:
        """``activation(x * kernel + bias)``, in the order of axes that was asked for."""
        self.check_reach(x, kernel)
        return self.activated(
            x,
            kernel,
            bias,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=groups,
        )

    def activated(self, x: jax.Array, kernel: jax.Array, *bias: Any, **geometry: Any) -> jax.Array:
        at_once = "relu" if self.activation is activations.relu else None
        y = convolution(x, kernel, *bias, activation=at_once, **geometry)
        # What reads y besides the next layer: a penalty, or the call() of a subclass.
        if type(self).__module__ == __name__ and self._internals.activity_regularizer is None:
            pooled = functools.partial(convolution_max_pool, x, kernel, *bias, **geometry)
            offer_max_pool(self, y, functools.partial(pooled, activation=at_once))
        if self.data_format == "channels_first":
            y = jnp.moveaxis(y, -1, 1)
        return y if at_once else self.activation(y)

    def check_reach(self, x: jax.Array, kernel: jax.Array) -> None:
        """Raise, with an error that names the layer, unless the kernel fits into the image."""
        reach = [(k - 1) * d + 1 for k, d in zip(kernel.shape, self.dilation_rate)]
        too_large = any(size < needed for size, needed in zip(x.shape[1:-1], reach))
        if self.padding == "valid" and too_large:
            raise ShapeError(
                explain(
                    f"{self._where()}: the kernel is larger than the image.",
                    expected=f"images of at least {tuple(reach)}",
                    received=f"images of {x.shape[1:-1]}",
                    fix='use padding="same", a smaller kernel_size, or fewer poolings before it.',
                )
            )


@register("layer")
class Conv1D(Convolution):
    """Convolution along time: ``y[t, o] = activation(sum x[t * s + k * d, i] W[k, i, o] + b[o])``.

    Args:
        filters: the number of output channels.
        kernel_size: the number of taps k.
        strides: s, the step from one window to the next.
        padding: ``"valid"`` (none), ``"same"`` (the output is as long as the input, divided by
            the strides) or ``"causal"`` (no output sees a later input).
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        dilation_rate: d, the distance between taps.
        groups: as many groups of channels that do not mix.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
            bias_regularizer: as in :class:`Dense`.

    Shapes:
        ``(batch, time, channels)`` to ``(batch, new_time, filters)``; W is
        ``(kernel_size, channels / groups, filters)``.

    Example:
        >>> import jax, nacre
        >>> nacre.layers.Conv1D(4, 3)(jax.numpy.ones((2, 10, 5))).shape
        (2, 8, 4)
    """

    rank = 1


@register("layer")
class Conv2D(Convolution):
    """Convolution of images: ``y[p, o] = activation(sum x[p * s + k * d, i] W[k, i, o] + b[o])``.

    Args:
        filters: the number of output channels.
        kernel_size: the height and width of the window k, or one number for both.
        strides: s, the step from one window to the next.
        padding: ``"valid"`` (none) or ``"same"`` (as large as the input, divided by the strides).
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        dilation_rate: d, the distance between taps.
        groups: as many groups of channels that do not mix.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
            bias_regularizer: as in :class:`Dense`.

    Shapes:
        ``(batch, height, width, channels)`` to ``(batch, new_height, new_width, filters)``; W is
        ``(*kernel_size, channels / groups, filters)``.

    Example:
        >>> import jax, nacre
        >>> nacre.layers.Conv2D(32, 3, activation="relu")(jax.numpy.ones((2, 28, 28, 1))).shape
        (2, 26, 26, 32)

    Reference: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE
    86, 1998.
    """

    rank = 2


@register("layer")
class Conv3D(Convolution):
    """Convolution of volumes or videos; see :class:`Conv2D`.

    Shapes:
        ``(batch, depth, height, width, channels)`` to the same with new sizes and ``filters``.
    """

    rank = 3


@register("layer")
class DepthwiseConv2D(Convolution):
    """A convolution of each channel on its own, with ``depth_multiplier`` filters for each.

    Args:
        kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias: as in
            :class:`Conv2D`.
        depth_multiplier: the number of output channels for each input channel.
        depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer: how the
            weights start, and penalties on them.

    Shapes:
        ``(batch, height, width, channels)`` to
        ``(batch, new_height, new_width, channels * depth_multiplier)``; W is
        ``(*kernel_size, channels, depth_multiplier)``.
    """

    rank = 2

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            1,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            1,
            activation,
            use_bias,
            depthwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            bias_regularizer,
            **options,
        )
        owner = type(self).__name__
        self.depth_multiplier = positive_integer(owner, "depth_multiplier", depth_multiplier)

    def call(self, x: jax.Array) -> jax.Array:
        x = self.channels_last(x)
        channels = x.shape[-1]
        kernel = self.depthwise_kernel("kernel", channels)
        return self.convolve(x, kernel, self.bias(channels * self.depth_multiplier), channels)

    def depthwise_kernel(self, name: str, channels: int) -> jax.Array:
        """The filters of each channel, in the form that as many groups as channels take."""
        kernel = self.weight(
            name,
            (*self.kernel_size, channels, self.depth_multiplier),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        return kernel.reshape(*self.kernel_size, 1, channels * self.depth_multiplier)


@register("layer")
class SeparableConv2D(DepthwiseConv2D):
    """A depthwise convolution, then a 1x1 convolution that mixes the channels.

    Args:
        filters: the number of output channels.
        kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier, activation,
            use_bias: as in :class:`DepthwiseConv2D`.
        depthwise_initializer, pointwise_initializer, bias_initializer, depthwise_regularizer,
            pointwise_regularizer, bias_regularizer: how the weights start, and penalties on them.

    Shapes:
        ``(batch, height, width, channels)`` to ``(batch, new_height, new_width, filters)``.

    Reference: Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            depthwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            bias_regularizer,
            **options,
        )
        self.filters = positive_integer(type(self).__name__, "filters", filters)
        self.pointwise_initializer = pointwise_initializer
        self.pointwise_regularizer = pointwise_regularizer

    def call(self, x: jax.Array) -> jax.Array:
        x = self.channels_last(x)
        channels = x.shape[-1]
        depthwise = self.depthwise_kernel("depthwise_kernel", channels)
        self.check_reach(x, depthwise)
        y = convolution(
            x,
            depthwise,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=channels,
        )
        pointwise = self.weight(
            "pointwise_kernel",
            (1, 1, y.shape[-1], self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
        )
        return self.activated(y, pointwise, self.bias(self.filters))


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
