"""Normalisation: bring activations to mean 0 and variance 1, then scale and shift them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.layer import Layer
from nacre.core.registry import register
from nacre.kernels import batch_normalization

__all__ = ["BatchNormalization", "LayerNormalization"]


@register("layer")
class BatchNormalization(Layer):
    """Normalises each feature over the batch.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``

    In training, mean and variance are those of the batch, and the moving averages follow them:
    ``moving = momentum * moving + (1 - momentum) * batch``. Otherwise, and when the layer is frozen
    (``trainable = False``), the moving averages are used. Masked steps do not count.

    Args:
        axis: the axis of the features, the last by default.
        momentum: of the moving averages.
        epsilon: added to the variance.
        center, scale: whether there is a beta and a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer:
            how they start.
        beta_regularizer, gamma_regularizer: penalties on them, added to the loss.

    Shapes:
        Any, kept. The moving variance is that of the batch (divided by n, not n - 1).

    Reference: Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    supports_masking = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        self.beta_regularizer = beta_regularizer
        self.gamma_regularizer = gamma_regularizer

    def call(self, x: jax.Array) -> jax.Array:
        features = (x.shape[self.axis],)
        across = [1] * x.ndim
        across[self.axis] = -1
        gamma = beta = None
        if self.scale:
            gamma = self.weight(
                "gamma", features, self.gamma_initializer, regularizer=self.gamma_regularizer
            )
        if self.center:
            beta = self.weight(
                "beta", features, self.beta_initializer, regularizer=self.beta_regularizer
            )
        moving_mean = self.state("moving_mean", features, self.moving_mean_initializer)
        moving_variance = self.state("moving_variance", features, self.moving_variance_initializer)

        wide = x.astype(_wide(x.dtype))
        old_mean = moving_mean.value.astype(wide.dtype)
        old_variance = moving_variance.value.astype(wide.dtype)
        gamma, beta = (None if a is None else a.astype(wide.dtype) for a in (gamma, beta))
        adapts = self.training and self.trainable
        mask = self.mask(x) if adapts else None
        if adapts and mask is None and self.axis % x.ndim == x.ndim - 1:
            y, mean, variance = batch_normalization(wide, gamma, beta, epsilon=self.epsilon)
        else:
            mean, variance = self._moments(wide, mask) if adapts else (old_mean, old_variance)
            factor = jax.lax.rsqrt(variance + self.epsilon)
            if gamma is not None:
                factor = factor * gamma
            shift = -mean * factor
            if beta is not None:
                shift = shift + beta
            y = wide * factor.reshape(across) + shift.reshape(across)
        if adapts:
            keep = self.momentum
            moving_mean.assign(keep * old_mean + (1 - keep) * mean)
            moving_variance.assign(keep * old_variance + (1 - keep) * variance)
        return y.astype(self.compute_dtype)

    def _moments(self, x: jax.Array, mask: Any) -> tuple[jax.Array, jax.Array]:
        """The mean and variance of each feature over everything else that is not masked."""
        axes = tuple(axis for axis in range(x.ndim) if axis != self.axis % x.ndim)
        if mask is None:
            return jnp.mean(x, axes), jnp.var(x, axes)
        weights = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)).astype(x.dtype)
        weights = jnp.broadcast_to(weights, x.shape)
        total = jnp.maximum(jnp.sum(weights, axes, keepdims=True), 1e-7)
        mean = jnp.sum(weights * x, axes, keepdims=True) / total
        variance = jnp.sum(weights * jnp.square(x - mean), axes, keepdims=True) / total
        return mean.reshape(-1), variance.reshape(-1)


@register("layer")
class LayerNormalization(Layer):
    """Normalises each example over its features.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``

    Args:
        axis: the axis or axes of the features, the last by default.
        epsilon: added to the variance.
        center, scale: whether there is a beta and a gamma.
        beta_initializer, gamma_initializer: how they start.
        beta_regularizer, gamma_regularizer: penalties on them, added to the loss.

    Shapes:
        Any, kept; gamma and beta have the sizes of the axes.

    Reference: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    supports_masking = True
    autocast = False  # the moments are taken before anything is rounded to 16 bits

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.beta_regularizer = beta_regularizer
        self.gamma_regularizer = gamma_regularizer

    def call(self, x: jax.Array) -> jax.Array:
        chosen = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        axes = tuple(sorted(axis % x.ndim for axis in chosen))
        features = tuple(x.shape[axis] for axis in axes)
        across = [x.shape[axis] if axis in axes else 1 for axis in range(x.ndim)]

        wide = x.astype(_wide(x.dtype))
        mean = jnp.mean(wide, axes, keepdims=True)
        variance = jnp.var(wide, axes, keepdims=True)
        y = (wide - mean) * jax.lax.rsqrt(variance + self.epsilon)
        if self.scale:
            gamma = self.weight(
                "gamma", features, self.gamma_initializer, regularizer=self.gamma_regularizer
            )
            y = y * gamma.astype(y.dtype).reshape(across)
        if self.center:
            beta = self.weight(
                "beta", features, self.beta_initializer, regularizer=self.beta_regularizer
            )
            y = y + beta.astype(y.dtype).reshape(across)
        return y.astype(self.compute_dtype)


def _wide(dtype: Any) -> Any:
    """The type that moments are computed in: sums of 16-bit numbers lose too much."""
    return dtype if dtype == jnp.float64 else jnp.float32
