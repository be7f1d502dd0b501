"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import fraction
from nacre.core.layer import Layer
from nacre.core.registry import register

__all__ = ["Dropout"]


@register("layer")
class Dropout(Layer):
    """In training, sets a random share of the values to 0 and scales the others up.

    ``y = x * keep / (1 - rate)`` with ``keep ~ Bernoulli(1 - rate)``, so the expectation stays the
    same. Otherwise ``y = x``.

    Args:
        rate: the share that is dropped, at least 0 and below 1.
        noise_shape: the shape of ``keep``, 1 (or None for "as x") along axes that share a draw.

    Shapes:
        Any, kept.

    Reference: Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15, 2014.
    """

    supports_masking = True

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.rate = fraction("Dropout", "rate", rate)
        self.noise_shape = noise_shape

    def call(self, x: jax.Array) -> jax.Array:
        if not self.training or self.rate == 0:
            return x
        noise_shape = self.noise_shape or x.shape
        shape = tuple(s if n is None else n for s, n in zip(x.shape, noise_shape))
        keep = jax.random.bernoulli(self.key(), 1 - self.rate, shape)
        scaled = x / (1 - self.rate)
        return jnp.where(keep, scaled, jnp.zeros_like(scaled))
