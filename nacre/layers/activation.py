"""Activation functions as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre import activations
from nacre.core.layer import Layer
from nacre.core.registry import register
from nacre.core.scope import mask_of

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


@register("layer")
class Activation(Layer):
    """Applies an activation function, elementwise or over the last axis.

    Args:
        activation: a name such as ``"relu"``, or a function of one array.

    Shapes:
        Any, kept.
    """

    supports_masking = True

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, x: jax.Array) -> jax.Array:
        return self.activation(x)


@register("layer")
class ReLU(Layer):
    """``max(x, 0)``, with an optional slope below, ceiling above and threshold.

    Args:
        max_value: the ceiling; None for none.
        negative_slope: the slope below the threshold.
        threshold: where the function begins to rise.

    Shapes:
        Any, kept.

    Reference: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines",
    ICML 2010.
    """

    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, x: jax.Array) -> jax.Array:
        return activations.relu(
            x,
            negative_slope=self.negative_slope,
            max_value=self.max_value,
            threshold=self.threshold,
        )


@register("layer")
class LeakyReLU(Layer):
    """``x`` above 0, ``negative_slope * x`` below.

    Args:
        negative_slope: the slope below 0.
        alpha: its old name.

    Shapes:
        Any, kept.

    Reference: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic
    models", ICML 2013.
    """

    supports_masking = True

    def __init__(
        self, negative_slope: float = 0.3, alpha: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.negative_slope = negative_slope if alpha is None else alpha

    def call(self, x: jax.Array) -> jax.Array:
        return activations.leaky_relu(x, negative_slope=self.negative_slope)


@register("layer")
class PReLU(Layer):
    """``x`` above 0, ``alpha * x`` below, with an alpha for each unit that is learned.

    Args:
        alpha_initializer, alpha_regularizer: for the slopes.
        shared_axes: axes along which a slope is shared, such as ``[1, 2]`` for images.

    Shapes:
        ``(batch, ...)``, kept; alpha has the shape of one example, with 1 along shared axes.

    Reference: He et al., "Delving deep into rectifiers", ICCV 2015.
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        shared_axes: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = alpha_initializer
        self.alpha_regularizer = alpha_regularizer
        self.shared_axes = shared_axes

    def call(self, x: jax.Array) -> jax.Array:
        shared = [self.shared_axes] if isinstance(self.shared_axes, int) else self.shared_axes or []
        shape = [1 if axis in shared else x.shape[axis] for axis in range(1, x.ndim)]
        alpha = self.weight(
            "alpha", shape, self.alpha_initializer, regularizer=self.alpha_regularizer
        )
        x = x.astype(alpha.dtype)
        return jnp.maximum(x, 0) + alpha[None] * jnp.minimum(x, 0)


@register("layer")
class ELU(Layer):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below.

    Args:
        alpha: the limit far below 0 is ``-alpha``.

    Shapes:
        Any, kept.

    Reference: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", ICLR 2016.
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, x: jax.Array) -> jax.Array:
        return activations.elu(x, alpha=self.alpha)


@register("layer")
class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` over an axis.

    A call may pass ``mask=``, True for the entries that may have a probability above 0. (The mask
    of padded steps, which comes with ``x`` itself, is passed on and changes nothing.)

    Args:
        axis: the axis, or several, that the probabilities are over.

    Shapes:
        Any, kept; the mask's axes line up with the last axes of x.
    """

    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, x: jax.Array, mask: Any = None) -> jax.Array:
        if mask is not None and mask is not mask_of(x):
            mask = mask.reshape((1,) * (x.ndim - mask.ndim) + mask.shape).astype(bool)
            x = jnp.where(mask, x, jnp.finfo(x.dtype).min / 2)
        return activations.softmax(x, axis=self.axis)
