"""Gradients that are too long are made shorter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nacre.optimizers.equations import scalar_dtype

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_value", "global_norm"]


def clip_by_value(gradients: Mapping[str, Any], limit: float) -> dict[str, jax.Array]:
    """Each element is kept between ``-limit`` and ``limit``."""
    return {path: jnp.clip(g, -limit, limit) for path, g in gradients.items()}


def clip_by_norm(gradients: Mapping[str, Any], limit: float) -> dict[str, jax.Array]:
    """Each array is scaled down by itself, so that its Euclidean norm is at most ``limit``."""
    return {
        path: _times(g, _shrinking(jnp.sqrt(_sum_of_squares(g)), limit))
        for path, g in gradients.items()
    }


def clip_by_global_norm(gradients: Mapping[str, Any], limit: float) -> dict[str, jax.Array]:
    """All arrays are scaled down together, so that their norm as one vector is at most ``limit``.

    Reference:
        Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
        2013.
    """
    factor = _shrinking(global_norm(gradients), limit)
    return {path: _times(g, factor) for path, g in gradients.items()}


def global_norm(gradients: Mapping[str, Any]) -> jax.Array:
    """The Euclidean norm of all arrays as one vector, in float32 or better."""
    dtype = scalar_dtype(gradients)
    squares = (_sum_of_squares(g).astype(dtype) for g in gradients.values())
    return jnp.sqrt(sum(squares, start=jnp.zeros((), dtype)))


def _sum_of_squares(gradient: jax.Array) -> jax.Array:
    # In float16, the square of 256 is already infinite.
    return jnp.sum(jnp.square(gradient.astype(scalar_dtype(gradient))))


def _shrinking(norm: jax.Array, limit: float) -> jax.Array:
    # An infinite norm gives a factor of 0, which would hide an overflow: let it show instead.
    return jnp.where(jnp.isfinite(norm), limit / jnp.maximum(norm, limit), jnp.nan)


def _times(gradient: jax.Array, factor: jax.Array) -> jax.Array:
    return gradient * factor.astype(gradient.dtype)
