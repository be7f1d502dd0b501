"""16-bit operands in float32 arithmetic.

A product of bfloat16 or float16 operands is that of the same numbers in float32, which holds each
of them exactly, summed in float32 and rounded once at the end::

    y = round(sum over k of wide(a[k]) * wide(b[k]))

So the kernels for float32 serve. XLA joins the widening and the rounding with what is around them,
and may leave both out where one follows the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["along_last", "fits_float32", "in_single_precision", "widened"]


def fits_float32(dtype: Any) -> bool:
    """Whether float32 holds every number of this floating-point type."""
    return bool(jnp.issubdtype(dtype, jnp.floating)) and jnp.dtype(dtype).itemsize <= 4


def widened(a: jax.Array) -> jax.Array:
    """16-bit floating-point numbers as float32; all else as it is."""
    narrow = jnp.issubdtype(a.dtype, jnp.floating) and a.dtype.itemsize < 4
    return a.astype(jnp.float32) if narrow else a


def in_single_precision(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Let 16-bit operands be computed with in float32, and round the result to their type."""

    @functools.wraps(function)
    def rounding_once(a: jax.Array, b: jax.Array, *others: Any, **settings: Any) -> jax.Array:
        others = tuple(widened(x) if isinstance(x, jax.Array) else x for x in others)
        return function(widened(a), widened(b), *others, **settings).astype(a.dtype)

    return rounding_once


def along_last(bias: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """One number for each place of the last axis, along all others of ``shape``.

    The gradient is a sum over these, in float32 for 16-bit types: one of many terms, it would stand
    still in their arithmetic.
    """
    wide = widened(bias).reshape((1,) * (len(shape) - 1) + bias.shape)
    return jnp.broadcast_to(wide, shape).astype(bias.dtype)
