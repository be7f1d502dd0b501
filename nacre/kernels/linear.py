"""The affine map of dense layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["linear"]


def linear(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """``y = x W + b`` over the last axis of ``x``.

    Args:
        x: shape ``(..., inputs)``.
        kernel: W, shape ``(inputs, units)``.
        bias: b, shape ``(units,)``.
    """
    y = jnp.matmul(x, kernel)  # (..., units)
    if bias is not None:
        y = y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)
    return y
