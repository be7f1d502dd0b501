"""Linear algebra: decompositions, solutions, norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import linalg

from nacre.ops.families import axes as as_axes, unary
from nacre.ops.operation import Floating, operation, transformation

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "inv",
    "jvp",
    "logdet",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]

det = unary(jnp.linalg.det, "The determinants of square matrices.", floating=True)
inv = unary(jnp.linalg.inv, "The inverses of square matrices.", floating=True)


@operation
def norm(
    x: Floating,
    ord: int | float | str | None = None,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
) -> jax.Array:
    """The norm of vectors (one axis) or matrices (two axes).

    Args:
        x: an array.
        ord: for vectors sum(|x|**ord)**(1/ord), with 2 by default; ``inf`` for the largest. For
            matrices "fro" by default, "nuc", 1, 2 or ``inf``.
        axis: one axis or two; by default all elements count as one vector.
        keepdims: whether the axes stay, with size 1.

    Example:
        >>> float(norm([3.0, 4.0]))
        5.0
    """
    order = {"euclidean": 2}.get(ord, ord) if isinstance(ord, str) else ord
    return jnp.linalg.norm(x, order, as_axes(axis), keepdims)


@operation
def cholesky(x: Floating, upper: bool = False) -> jax.Array:
    """The triangular L with L L^T = x for a positive definite matrix; its transpose if ``upper``.

    Example:
        >>> cholesky([[4.0, 2.0], [2.0, 5.0]]).tolist()
        [[2.0, 0.0], [1.0, 2.0]]
    """
    return jnp.linalg.cholesky(x, upper=upper)


@operation
def cholesky_inverse(x: Floating, upper: bool = False) -> jax.Array:
    """The inverse of the matrix whose Cholesky factor is ``x``."""
    identity = jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape)
    return linalg.cho_solve((x, not upper), identity)


@operation
def logdet(x: Floating) -> jax.Array:
    """The logarithm of the determinant of a positive definite matrix."""
    return jnp.linalg.slogdet(x)[1]


@operation
def slogdet(x: Floating) -> tuple[jax.Array, jax.Array]:
    """The sign of the determinant, and the logarithm of its absolute value."""
    sign, logarithm = jnp.linalg.slogdet(x)
    return sign, logarithm


@operation
def eig(x: Floating) -> tuple[jax.Array, jax.Array]:
    """The eigenvalues and eigenvectors (columns) of square matrices; they are complex."""
    values, vectors = jnp.linalg.eig(x)
    return values, vectors


@operation
def eigh(x: Floating) -> tuple[jax.Array, jax.Array]:
    """The eigenvalues, ascending, and eigenvectors (columns) of symmetric matrices."""
    values, vectors = jnp.linalg.eigh(x)
    return values, vectors


@operation
def qr(x: Floating, mode: str = "reduced") -> tuple[jax.Array, jax.Array]:
    """The orthonormal Q and the upper triangular R with Q R = x."""
    q, r = jnp.linalg.qr(x, mode)
    return q, r


@operation
def svd(x: Floating, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition: U, the values in descending order, and V^T."""
    result = jnp.linalg.svd(x, full_matrices, compute_uv)
    return tuple(result) if compute_uv else result


@operation
def lu_factor(x: Floating) -> tuple[jax.Array, jax.Array]:
    """The L and U of Gaussian elimination in one matrix, and the exchanges of rows."""
    return linalg.lu_factor(x)


@operation
def pinv(x: Floating, rcond: float | None = None) -> jax.Array:
    """The pseudo-inverse. Singular values below ``rcond`` times the largest count as zero."""
    return jnp.linalg.pinv(x, rcond)


@operation
def matrix_rank(x: Floating, tol: float | None = None) -> jax.Array:
    """The number of singular values above ``tol``."""
    return jnp.linalg.matrix_rank(x, tol)


@operation
def solve(a: Floating, b: Floating) -> jax.Array:
    """The x with a x = b.

    Example:
        >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 4.0]).tolist()
        [1.0, 1.0]
    """
    return jnp.linalg.solve(a, b)


@operation
def solve_triangular(a: Floating, b: Floating, lower: bool = False) -> jax.Array:
    """The x with a x = b for a triangular matrix."""
    return linalg.solve_triangular(a, b, lower=lower)


@operation
def lstsq(a: Floating, b: Floating, rcond: float | None = None) -> jax.Array:
    """The x for which |b - a x|**2 is smallest."""
    return jnp.linalg.lstsq(a, b, rcond)[0]


@transformation
def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """The value of ``fun`` at ``primals``, and its derivative in the direction of ``tangents``.

    Example:
        >>> value, slope = jvp(lambda x: x * x, (3.0,), (1.0,))
        >>> float(value), float(slope)
        (9.0, 6.0)
    """
    return jax.jvp(fun, tuple(primals), tuple(tangents), has_aux=has_aux)
