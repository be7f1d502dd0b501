"""The affine map of dense layers, and the product of two matrices behind it.

A product of matrices is linear in each of them, and its gradients are products again. So it is a
primitive of JAX with three rules: the transpose of one is another; mapped over a new axis of one
matrix, it is itself with that axis merged into the rows or the columns; on a CPU it is the native
kernel, elsewhere XLA's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from nacre.core.dtypes import precision
from nacre.kernels import selection
from nacre.kernels.meanings import MEANINGS
from nacre.kernels.operation import vary_alike
from nacre.kernels.widening import along_last, fits_float32, in_single_precision

__all__ = ["linear", "product"]

# What multiplies bfloat16 takes rows by 32: for fewer than these it would be mostly idle.
FEWEST_ROWS = 8

# Products of fewer multiplications are left to XLA, which needs no call for them. It is slow where
# the first matrix is transposed.
SMALLEST, SMALLEST_TRANSPOSED = 2**21, 2**19

XLA_PRECISION = {
    "float32": None,
    "bfloat16": None,
    "bf16x3": lax.DotAlgorithmPreset.BF16_BF16_F32_X3,
}


def linear(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """``y = x W + b`` over the last axis of ``x``.

    Args:
        x: shape ``(..., inputs)``.
        kernel: W, shape ``(inputs, units)``.
        bias: b, shape ``(units,)``.
    """
    if kernel.ndim == 2 <= x.ndim and x.shape[-1] == kernel.shape[0] and x.dtype == kernel.dtype:
        rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        y = product(rows, kernel)
        if x.ndim > 2:
            y = y.reshape(*x.shape[:-1], kernel.shape[1])  # (..., units)
    else:
        y = jnp.matmul(x, kernel)
    if bias is None:
        return y
    if bias.dtype == y.dtype == jnp.float32 and bias.ndim == 1:  # with fewest operations to trace
        return lax.add(y, lax.broadcast_in_dim(bias, y.shape, (y.ndim - 1,)))
    return y + along_last(bias, y.shape)


Matrix = jax.Array


def product(
    a: Matrix, b: Matrix, *, a_transposed: bool = False, b_transposed: bool = False
) -> Matrix:
    """The product of two matrices, either of which may be stored transposed."""
    at = At(a_transposed, b_transposed, precision(jnp.result_type(a, b)))
    large = _multiplications(a, b, at) >= SMALLEST_TRANSPOSED
    if large and a.dtype == b.dtype and fits_float32(a.dtype):
        return _product.bind(*vary_alike((a, b)), at=at)
    return _by_xla(a, b, at)


class At(NamedTuple):
    """What is known of a product where the program is compiled, but for the matrices."""

    a_transposed: bool
    b_transposed: bool
    precision: str  # "float32", or "bfloat16" or "bf16x3", what units for bfloat16 may do


def _multiplications(a: Matrix, b: Matrix, at: At) -> int:
    return a.size * b.shape[0 if at.b_transposed else 1]


def _by_xla(a: Matrix, b: Matrix, at: At) -> Matrix:
    contracted = ((0 if at.a_transposed else 1,), (1 if at.b_transposed else 0,))
    return lax.dot_general(a, b, (contracted, ((), ())), precision=XLA_PRECISION[at.precision])


def _on_cpu(a: Matrix, b: Matrix, at: At) -> Matrix:
    smallest = SMALLEST_TRANSPOSED if at.a_transposed else SMALLEST
    kernels = selection.native()
    if _multiplications(a, b, at) < smallest or kernels.library is None:
        return in_single_precision(_by_xla)(a, b, at)
    wide = min(_shape(a, b, at)) >= FEWEST_ROWS
    if at.precision == "bfloat16" and kernels.bfloat16 and wide:
        return _natively(a, b, at).astype(a.dtype)
    return in_single_precision(_natively)(a, b, at)


def _natively(a: Matrix, b: Matrix, at: At) -> Matrix:
    # Where the first matrix is transposed, it is mostly for the gradient of a weight in float32.
    # The kernel leaves the rounding to XLA then, which leaves it out where sums are widened again.
    unrounded = at.a_transposed and a.dtype == jnp.bfloat16
    return selection.call(
        "sums" if unrounded else "product",
        jax.ShapeDtypeStruct(_shape(a, b, at), jnp.float32 if unrounded else a.dtype),
        a,
        b,
        a_transposed=at.a_transposed,
        b_transposed=at.b_transposed,
        bf16x3=at.precision == "bf16x3",
    )


def _shape(a: Any, b: Any, at: At) -> tuple[int, int]:
    return a.shape[1 if at.a_transposed else 0], b.shape[0 if at.b_transposed else 1]


_product = Primitive("matrix_product")
MEANINGS["matrix_product"] = _by_xla
_product.def_abstract_eval(lambda a, b, at: a.update(shape=_shape(a, b, at), weak_type=False))
_product.def_impl(jax.jit(_product.bind, static_argnames="at"))
mlir.register_lowering(_product, mlir.lower_fun(_by_xla, multiple_results=False))
mlir.register_lowering(_product, mlir.lower_fun(_on_cpu, multiple_results=False), platform="cpu")


def _gradient_a(c: Matrix, a: Any, b: Matrix, at: At) -> Matrix:
    """``c b'`` for ``c = a b``, or ``b c'`` where a is stored transposed."""
    if at.a_transposed:
        return _product.bind(b, c, at=At(at.b_transposed, True, at.precision))
    return _product.bind(c, b, at=At(False, not at.b_transposed, at.precision))


def _gradient_b(c: Matrix, a: Matrix, b: Any, at: At) -> Matrix:
    """``a' c`` for ``c = a b``, or ``c' a`` where b is stored transposed."""
    if at.b_transposed:
        return _product.bind(c, a, at=At(True, at.a_transposed, at.precision))
    return _product.bind(a, c, at=At(not at.a_transposed, False, at.precision))


ad.defbilinear(_product, _gradient_a, _gradient_b)


def _map(operands: Sequence[Matrix], axes: Sequence[int | None], at: At) -> tuple[jax.Array, int]:
    (a, b), (axis_a, axis_b) = operands, axes
    if axis_b is None:
        a, size = _merged(a, axis_a, 1 if at.a_transposed else 0)
        c = _product.bind(a, b, at=at)
        return c.reshape(size, -1, c.shape[1]), 0
    if axis_a is None:
        b, size = _merged(b, axis_b, 0 if at.b_transposed else 1)
        c = _product.bind(a, b, at=at)
        return c.reshape(c.shape[0], size, -1), 1
    contracted = ((1 if at.a_transposed else 2,), (2 if at.b_transposed else 1,))
    a, b = jnp.moveaxis(a, axis_a, 0), jnp.moveaxis(b, axis_b, 0)
    numbers = (contracted, ((0,), (0,)))
    return lax.dot_general(a, b, numbers, precision=XLA_PRECISION[at.precision]), 0


def _merged(a: jax.Array, mapped: Any, axis: int) -> tuple[Matrix, int]:
    """The mapped axis merged into another, in front of it."""
    size = a.shape[mapped]
    a = jnp.moveaxis(a, mapped, axis)
    return a.reshape(*a.shape[:axis], size * a.shape[axis + 1], *a.shape[axis + 2 :]), size


batching.primitive_batchers[_product] = _map
