"""Pooling layers: one number in place of a window, or of the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import integers, one_of
from nacre.core.dtypes import is_floating
from nacre.core.errors import ShapeError, explain
from nacre.core.layer import Layer, check_rank
from nacre.core.registry import register
from nacre.core.scope import offered_max_pool
from nacre.kernels import average_pool, max_pool
from nacre.layers.convolution import AXES

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]

FORMATS = (None, "channels_last", "channels_first")
FIX = "add the axis that is missing: x[..., None] for one channel, x[None] for one example."


class Pooling(Layer):
    """One number in place of each window.

    Args:
        pool_size: the size of the window, one number or one for each axis.
        strides: the step from one window to the next; the window's size by default.
        padding: ``"valid"`` (windows that fit) or ``"same"`` (windows over the edge, where padding
            does not count).
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.

    Shapes:
        ``(batch, *image, channels)`` to ``(batch, *windows, channels)``.
    """

    rank: int
    pool: Callable[..., jax.Array]

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        owner = type(self).__name__
        lowered = padding.lower() if isinstance(padding, str) else padding
        self.pool_size = integers(owner, "pool_size", pool_size, self.rank)
        steps = self.pool_size if strides is None else strides
        self.strides = integers(owner, "strides", steps, self.rank)
        self.padding = one_of(owner, "padding", lowered, ("valid", "same"))
        self.data_format = one_of(owner, "data_format", data_format, FORMATS)

    def call(self, x: jax.Array) -> jax.Array:
        check_rank(self, x, self.rank + 2, AXES[self.rank], FIX)
        first = self.data_format == "channels_first"
        x = jnp.moveaxis(x, 1, -1) if first else x
        image = x.shape[1:-1]
        if self.padding == "valid" and any(s < p for s, p in zip(image, self.pool_size)):
            raise ShapeError(
                explain(
                    f"{self._where()}: the window is larger than the image.",
                    expected=f"images of at least {self.pool_size}",
                    received=f"images of {image}",
                    fix='use padding="same", a smaller window, or fewer poolings before it.',
                )
            )
        y = self.pooled(x)
        return jnp.moveaxis(y, -1, 1) if first else y

    def pooled(self, x: jax.Array) -> jax.Array:
        """The windows' numbers, channels last."""
        return type(self).pool(x, self.pool_size, strides=self.strides, padding=self.padding)


class GlobalPooling(Layer):
    """One number for each channel, over all positions.

    Args:
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        keepdims: whether to keep the axes that were pooled, with size 1.

    Shapes:
        ``(batch, *image, channels)`` to ``(batch, channels)``.
    """

    rank: int
    reduce: Callable[..., jax.Array]

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.data_format = one_of(type(self).__name__, "data_format", data_format, FORMATS)
        self.keepdims = keepdims

    def call(self, x: jax.Array) -> jax.Array:
        check_rank(self, x, self.rank + 2, AXES[self.rank], FIX)
        return type(self).reduce(x, self.positions(), keepdims=self.keepdims)

    def positions(self) -> tuple[int, ...]:
        """The axes of position: all but the batch and the channels."""
        begin = 2 if self.data_format == "channels_first" else 1
        return tuple(range(begin, begin + self.rank))


class MaxPooling(Pooling):
    """Base of the layers that keep the largest value of each window."""

    pool = staticmethod(max_pool)

    def pooled(self, x: jax.Array) -> jax.Array:
        """Together with the convolution that made x, if this layer alone reads it."""
        if type(self).__module__ == __name__:  # the call() of a subclass may read x itself
            at_once = offered_max_pool(self, x)
            y = at_once and at_once(
                pool_size=self.pool_size, pool_strides=self.strides, pool_padding=self.padding
            )
            if y is not None:
                return y
        return super().pooled(x)


class AveragePooling(Pooling):
    """Base of the layers that keep the mean of each window."""

    pool = staticmethod(average_pool)

    def call(self, x: jax.Array) -> jax.Array:
        return super().call(x if is_floating(x.dtype) else x.astype(self.compute_dtype))


@register("layer")
class MaxPooling1D(MaxPooling):
    """The largest value of each window in time; the arguments are those of :class:`Pooling`."""

    rank = 1


@register("layer")
class MaxPooling2D(MaxPooling):
    """The largest value of each window of an image: ``y[p, c] = max over k of x[p * s + k, c]``.

    ``(batch, height, width, channels)`` to the same with smaller sizes. Of several equal maxima,
    the first has the gradient. The arguments are those of :class:`Pooling`.

    Example:
        >>> import jax, nacre
        >>> nacre.layers.MaxPooling2D()(jax.numpy.ones((1, 7, 6, 3))).shape
        (1, 3, 3, 3)
    """

    rank = 2


@register("layer")
class MaxPooling3D(MaxPooling):
    """The largest value of each window of a volume; see :class:`MaxPooling2D`."""

    rank = 3


@register("layer")
class AveragePooling1D(AveragePooling):
    """The mean of each window in time; the arguments are those of :class:`Pooling`."""

    rank = 1


@register("layer")
class AveragePooling2D(AveragePooling):
    """The mean of each window of an image; the arguments are those of :class:`Pooling`."""

    rank = 2


@register("layer")
class AveragePooling3D(AveragePooling):
    """The mean of each window of a volume; the arguments are those of :class:`Pooling`."""

    rank = 3


@register("layer")
class GlobalAveragePooling1D(GlobalPooling):
    """The mean over time, of the steps that are not masked: ``(batch, time, channels)`` to
    ``(batch, channels)``. The arguments are those of :class:`GlobalPooling`."""

    rank = 1
    reduce = staticmethod(jnp.mean)

    def call(self, x: jax.Array, mask: Any = None) -> jax.Array:
        if mask is None:
            return super().call(x)
        steps = self.positions()[0]
        counts = jnp.expand_dims(mask.astype(x.dtype), 2 if steps == 1 else 1)  # (B, T, 1)
        total = jnp.sum(x * counts, steps, keepdims=self.keepdims)
        return total / jnp.sum(counts, steps, keepdims=self.keepdims)


@register("layer")
class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel of an image; the arguments are those of :class:`GlobalPooling`.

    Reference: Lin, Chen and Yan, "Network in network", ICLR 2014.
    """

    rank = 2
    reduce = staticmethod(jnp.mean)


@register("layer")
class GlobalAveragePooling3D(GlobalPooling):
    """The mean of each channel of a volume; the arguments are those of :class:`GlobalPooling`."""

    rank = 3
    reduce = staticmethod(jnp.mean)


@register("layer")
class GlobalMaxPooling1D(GlobalPooling):
    """The largest value over time; the arguments are those of :class:`GlobalPooling`."""

    rank = 1
    reduce = staticmethod(jnp.max)


@register("layer")
class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel; the arguments are those of :class:`GlobalPooling`."""

    rank = 2
    reduce = staticmethod(jnp.max)


@register("layer")
class GlobalMaxPooling3D(GlobalPooling):
    """The largest value of each channel; the arguments are those of :class:`GlobalPooling`."""

    rank = 3
    reduce = staticmethod(jnp.max)


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalMaxPool3D, GlobalAvgPool1D = GlobalMaxPooling3D, GlobalAveragePooling1D
GlobalAvgPool2D, GlobalAvgPool3D = GlobalAveragePooling2D, GlobalAveragePooling3D
