"""Operations that multiply and sum: matrix and tensor products, correlation, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.errors import ArgumentError, explain
from nacre.ops.families import binary
from nacre.ops.operation import ArrayLike, Floating, Operand, operation

__all__ = [
    "cdist",
    "corrcoef",
    "correlate",
    "cross",
    "dot",
    "dot_product_attention",
    "einsum",
    "inner",
    "kron",
    "matmul",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]

matmul = binary(jnp.matmul, "The matrix product over the last two axes.")
dot = binary(jnp.dot, "The sum of products over the last axis of x1 and the last but one of x2.")
inner = binary(jnp.inner, "The sum of products over the last axes.")
outer = binary(jnp.outer, "The product of every element of x1 with every element of x2.")
vdot = binary(jnp.vdot, "The sum of products of all elements, the first conjugated.")
kron = binary(jnp.kron, "The Kronecker product: x2 scaled by every element of x1.")


@operation
def einsum(subscripts: str, *operands: Operand, **kwargs: Any) -> jax.Array:
    """Sums of products in Einstein's notation: letters that are missing on the right are summed.

    Example:
        >>> einsum("ij,j->i", [[1, 2], [3, 4]], [1, 1]).tolist()
        [3, 7]
    """
    return jnp.einsum(subscripts, *operands, **kwargs)


@operation
def tensordot(x1: Operand, x2: Operand, axes: int | Sequence[Any] = 2) -> jax.Array:
    """The sum of products over some axes: the last ``axes`` of ``x1``, or pairs given."""
    return jnp.tensordot(x1, x2, axes)


@operation
def cross(
    x1: Operand,
    x2: Operand,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> jax.Array:
    """The vector product of vectors of two or three elements."""
    return jnp.cross(x1, x2, axisa, axisb, axisc, axis)


@operation
def trace(x: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> jax.Array:
    """The sum of the diagonals of the matrices in two of the axes."""
    return jnp.trace(x, offset, axis1, axis2)


@operation
def correlate(x1: Operand, x2: Operand, mode: str = "valid") -> jax.Array:
    """The sums of products of two signals at every shift.

    Args:
        x1, x2: vectors.
        mode: "valid", "same" or "full": which shifts to keep.
    """
    return jnp.correlate(x1, x2, mode)


@operation
def corrcoef(x: Floating) -> jax.Array:
    """The matrix of correlation coefficients between the rows."""
    return jnp.corrcoef(x)


@operation
def cdist(x: Floating, y: Floating) -> jax.Array:
    """The Euclidean distance of every row of ``x`` (..., M, D) to every row of ``y`` (..., N, D).

    Example:
        >>> cdist([[0.0, 0.0]], [[3.0, 4.0]]).tolist()
        [[5.0]]
    """
    return jnp.sqrt(jnp.sum((x[..., :, None, :] - y[..., None, :, :]) ** 2, axis=-1))


@operation
def dot_product_attention(
    query: Floating,
    key: Floating,
    value: Floating,
    bias: Floating = None,
    mask: ArrayLike = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> jax.Array:
    """Attention: softmax(query key^T * scale + bias) value.

    Args:
        query: (batch, targets, heads, size).
        key, value: (batch, sources, heads, size); fewer heads are shared out.
        bias: added to the logits, (batch, heads, targets, sources) or what can be broadcast.
        mask: True where a target may look at a source, shaped like ``bias``.
        scale: 1 / sqrt(size) by default.
        is_causal: a target sees no source that comes after it.
        flash_attention: accepted for compatibility; XLA chooses.
        attn_logits_soft_cap: not available.

    Reference:
        Vaswani et al., Attention Is All You Need, 2017.
    """
    if attn_logits_soft_cap is not None:
        raise ArgumentError(
            explain("ops.dot_product_attention has no attn_logits_soft_cap.", fix="leave it out.")
        )
    mask = None if mask is None else mask.astype(bool)
    return jax.nn.dot_product_attention(
        query, key, value, bias, mask, scale=scale, is_causal=is_causal
    )
