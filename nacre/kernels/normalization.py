"""Batch normalization over the moments of the batch, in one call for what may follow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nacre.kernels.operation import Operation
from nacre.kernels.selection import call, native

__all__ = ["batch_normalization"]

# With fewer channels, most of a vector would be empty.
FEWEST_CHANNELS = 8


class Normalization(NamedTuple):
    epsilon: float
    relu: bool


def batch_normalization(
    x: jax.Array,
    gamma: jax.Array | None = None,
    beta: jax.Array | None = None,
    *,
    epsilon: float = 1e-3,
    residual: jax.Array | None = None,
    relu: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Bring each channel to mean 0 and variance 1 over all other axes.

    ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta + residual``, and then, with
    ``relu``, its positive part.

    Args:
        x: shape ``(..., channels)``.
        gamma, beta: shape ``(channels,)``, or None.
        epsilon: added to the variance.
        residual: of the shape of ``x``, or None.
        relu: whether negative numbers become 0.

    Returns:
        y, and the mean and the variance of each channel (divided by n).

    Example:
        >>> import jax.numpy as jnp
        >>> y, mean, variance = batch_normalization(jnp.asarray([[1.0], [3.0]]), epsilon=0.0)
        >>> y.tolist(), mean.tolist(), variance.tolist()
        ([[-1.0], [1.0]], [2.0], [1.0])

    Reference: Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """
    missing = jnp.zeros((0,), x.dtype)
    at = Normalization(float(epsilon), relu)
    operands = [x, *(missing if a is None else a for a in (gamma, beta, residual))]
    y, mean, variance = (_native if _has_kernel(operands) else _meaning)(at, *operands)
    return y, mean, variance


def _has_kernel(operands: Sequence[jax.Array]) -> bool:
    if jax.default_backend() != "cpu" or native().library is None:
        return False
    x = operands[0]
    floats = all(a.dtype == jnp.float32 for a in operands)
    return floats and x.size > 0 and x.shape[-1] >= FEWEST_CHANNELS


def _meaning(
    at: Normalization, x: jax.Array, gamma: jax.Array, beta: jax.Array, residual: jax.Array
) -> list[jax.Array]:
    axes, across = tuple(range(x.ndim - 1)), (1,) * (x.ndim - 1) + (-1,)
    mean, variance = jnp.mean(x, axes), jnp.var(x, axes)
    factor = lax.rsqrt(variance + at.epsilon)
    if gamma.size:
        factor = factor * gamma
    shift = -mean * factor
    if beta.size:
        shift = shift + beta
    y = x * factor.reshape(across) + shift.reshape(across)
    if residual.size:
        y = y + residual
    return [jax.nn.relu(y) if at.relu else y, mean, variance]


def _shapes_saved(at: Normalization, *operands: Any) -> list[jax.ShapeDtypeStruct]:
    """The mean and one over the root of the variance, and y where relu needs it."""
    x = operands[0]
    channels = jax.ShapeDtypeStruct((x.shape[-1],), jnp.float32)
    y = jax.ShapeDtypeStruct(x.shape if at.relu else (0,), jnp.float32)
    return [channels, channels, y]


def _forward(at: Normalization, saving: bool, *operands: jax.Array) -> list[jax.Array]:
    x = operands[0]
    image = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    channels = jax.ShapeDtypeStruct((x.shape[-1],), jnp.float32)
    shapes = [image, channels, channels, channels]
    settings = {"epsilon": np.float32(at.epsilon), "relu": at.relu}
    y, mean, variance, rstd = call("normalization_forward", shapes, *operands, **settings)
    if not saving:
        return [y, mean, variance]
    return [y, mean, variance, mean, rstd, y if at.relu else jnp.zeros((0,), jnp.float32)]


def _backward(
    at: Normalization,
    examples: int,
    operands: Sequence[jax.Array],
    saved: Sequence[jax.Array],
    changes: Sequence[jax.Array | None],
) -> list[Callable[[], jax.Array]]:
    x, gamma, _, residual = operands
    image = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    channels = jax.ShapeDtypeStruct((x.shape[-1],), jnp.float32)
    nothing = jnp.zeros((0,), jnp.float32)
    own = residual.size > 0 and at.relu  # without relu, its gradient is that of y
    of_x, of_gamma, of_beta, of_residual = call(
        "normalization_backward",
        [image, channels, channels, image if own else jax.ShapeDtypeStruct((0,), jnp.float32)],
        x,
        gamma,
        *saved,
        *(nothing if change is None else change for change in changes),
        relu=at.relu,
    )
    unchanged = changes[0]
    if not own:
        of_residual = jnp.zeros_like(x) if unchanged is None else unchanged
    return [lambda: of_x, lambda: of_gamma, lambda: of_beta, lambda: of_residual]


_native = Operation(
    name="batch_normalization",
    operands=4,
    results=3,
    saved=3,
    meaning=_meaning,
    forward=_forward,
    shapes_saved=_shapes_saved,
    backward=_backward,
    with_batch=None,
)
