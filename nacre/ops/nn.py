"""Operations of networks: activations, normalisation, cross-entropies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre import activations
from nacre.core.dtypes import epsilon as smallest
from nacre.core.errors import explain
from nacre.ops.families import axes as as_axes, unary
from nacre.ops.operation import ArrayLike, Floating, OperationError, operation

__all__ = [
    "batch_normalization",
    "binary_crossentropy",
    "categorical_crossentropy",
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "layer_normalization",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "normalize",
    "psnr",
    "relu",
    "relu6",
    "rms_normalization",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]

relu = unary(activations.relu, "f(x) = max(x, 0).")
relu6 = unary(activations.relu6, "f(x) = min(max(x, 0), 6).")
sigmoid = unary(activations.sigmoid, "f(x) = 1 / (1 + exp(-x)).", floating=True)
log_sigmoid = unary(activations.log_sigmoid, "f(x) = log(sigmoid(x)).", floating=True)
hard_sigmoid = unary(activations.hard_sigmoid, "f(x) = relu6(x + 3) / 6.", floating=True)
silu = unary(activations.silu, "f(x) = x * sigmoid(x).", floating=True, name="silu")
swish = unary(activations.silu, "f(x) = x * sigmoid(x).", floating=True, name="swish")
hard_silu = unary(
    activations.hard_silu, "f(x) = x * hard_sigmoid(x).", floating=True, name="hard_silu"
)
hard_swish = unary(
    activations.hard_silu, "f(x) = x * hard_sigmoid(x).", floating=True, name="hard_swish"
)
hard_tanh = unary(activations.hard_tanh, "f(x) = min(max(x, -1), 1).", floating=True)
softplus = unary(activations.softplus, "f(x) = log(1 + exp(x)).", floating=True)
softsign = unary(activations.softsign, "f(x) = x / (1 + |x|).", floating=True)
selu = unary(activations.selu, "f(x) = 1.0507 * elu(x, alpha=1.6733).", floating=True)
sparse_plus = unary(
    jax.nn.sparse_plus, "0 up to -1, (x + 1)**2 / 4 up to 1, then x.", floating=True
)
sparse_sigmoid = unary(
    jax.nn.sparse_sigmoid, "0 up to -1, (x + 1) / 2 up to 1, then 1.", floating=True
)


# Activations with settings


@operation
def elu(x: Floating, alpha: float = 1.0) -> jax.Array:
    """f(x) = x where x > 0, else alpha * (exp(x) - 1)."""
    return activations.elu(x, alpha)


@operation
def celu(x: Floating, alpha: float = 1.0) -> jax.Array:
    """f(x) = x where x > 0, else alpha * (exp(x / alpha) - 1)."""
    return activations.celu(x, alpha)


@operation
def leaky_relu(x: Floating, negative_slope: float = 0.2) -> jax.Array:
    """f(x) = x where x > 0, else negative_slope * x."""
    return activations.leaky_relu(x, negative_slope)


@operation
def gelu(x: Floating, approximate: bool = True) -> jax.Array:
    """f(x) = x * P(X <= x) for a standard normal X; by default approximated with a tanh."""
    return activations.gelu(x, approximate)


@operation
def softmax(x: Floating, axis: int | Sequence[int] = -1) -> jax.Array:
    """f(x)_i = exp(x_i) / sum_j exp(x_j), along an axis.

    Example:
        >>> softmax([1000.0, 1000.0]).tolist()
        [0.5, 0.5]
    """
    return activations.softmax(x, axis)


@operation
def log_softmax(x: Floating, axis: int | Sequence[int] = -1) -> jax.Array:
    """f(x)_i = x_i - log(sum_j exp(x_j)), along an axis."""
    return activations.log_softmax(x, axis)


@operation
def sparsemax(x: Floating, axis: int = -1) -> jax.Array:
    """The probabilities nearest to ``x``: f(x)_i = max(x_i - tau, 0), with the sum 1.

    Keras 3.15 returns less than a sum of 1 where more than one is positive; this is the paper's.

    Example:
        >>> sparsemax([0.0, 0.5, 3.0]).tolist()
        [0.0, 0.0, 1.0]

    Reference:
        Martins and Astudillo, From Softmax to Sparsemax, 2016.
    """
    x = jnp.moveaxis(x, axis, -1)
    ordered = -jnp.sort(-x, axis=-1)
    excess = jnp.cumsum(ordered, axis=-1) - 1  # of the k largest, over a sum of 1
    k = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    support = jnp.sum(k * ordered > excess, axis=-1, keepdims=True)
    tau = jnp.take_along_axis(excess, support - 1, axis=-1) / support.astype(x.dtype)
    return jnp.moveaxis(jnp.maximum(x - tau, 0), -1, axis)


@operation
def glu(x: Floating, axis: int = -1) -> jax.Array:
    """The first half of an axis, times the sigmoid of the second.

    Reference:
        Dauphin et al., Language Modeling with Gated Convolutional Networks, 2017.
    """
    return jax.nn.glu(x, axis)


@operation
def squareplus(x: Floating, b: float = 4) -> jax.Array:
    """f(x) = (x + sqrt(x**2 + b)) / 2."""
    return (x + jnp.sqrt(x * x + b)) / 2


@operation
def hard_shrink(x: Floating, threshold: float = 0.5) -> jax.Array:
    """f(x) = x where |x| > threshold, else 0."""
    return jnp.where(jnp.abs(x) > threshold, x, 0)


@operation
def soft_shrink(x: Floating, threshold: float = 0.5) -> jax.Array:
    """f(x) = sign(x) * max(|x| - threshold, 0)."""
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, 0))


@operation
def tanh_shrink(x: Floating) -> jax.Array:
    """f(x) = x - tanh(x)."""
    return x - jnp.tanh(x)


@operation
def threshold(x: ArrayLike, threshold: float, default_value: float) -> jax.Array:
    """f(x) = x where x > threshold, else default_value."""
    return jnp.where(x > threshold, x, jnp.asarray(default_value, x.dtype))


# Normalisation


@operation
def normalize(
    x: Floating, axis: int | Sequence[int] = -1, order: int = 2, epsilon: float | None = None
) -> jax.Array:
    """x / max(norm(x), epsilon), along an axis.

    Example:
        >>> [round(x, 4) for x in normalize([3.0, 4.0]).tolist()]
        [0.6, 0.8]
    """
    epsilon = smallest() if epsilon is None else epsilon
    axis = as_axes(axis)
    if order == 2:
        # The gradient of 1 / sqrt is cut off at 0, where that of a norm would be NaN.
        square = jnp.sum(x * x, axis=axis, keepdims=True)
        return x * jnp.minimum(jax.lax.rsqrt(square), 1 / epsilon)
    return x / jnp.maximum(jnp.linalg.norm(x, order, axis, keepdims=True), epsilon)


@operation
def batch_normalization(
    x: Floating,
    mean: Floating,
    variance: Floating,
    axis: int,
    offset: Floating = None,
    scale: Floating = None,
    epsilon: float = 1e-3,
) -> jax.Array:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, with vectors along ``axis``.

    Reference:
        Ioffe and Szegedy, Batch Normalization, 2015.
    """
    along = [1] * x.ndim
    along[axis] = x.shape[axis]
    inverse = jax.lax.rsqrt(variance + epsilon)
    factor = inverse if scale is None else inverse * scale
    shift = -mean * factor if offset is None else offset - mean * factor
    return x * factor.reshape(along) + shift.reshape(along)


@operation
def layer_normalization(
    x: Floating,
    gamma: Floating = None,
    beta: Floating = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> jax.Array:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, with moments over ``axis``.

    Reference:
        Ba et al., Layer Normalization, 2016.
    """
    along = as_axes(axis)
    mean = jnp.mean(x, along, keepdims=True)
    variance = jnp.var(x, along, keepdims=True)
    y = (x - mean) * jax.lax.rsqrt(variance + (smallest() if epsilon is None else epsilon))
    y = y if gamma is None else y * _along(gamma, x, along)
    return y if beta is None else y + _along(beta, x, along)


@operation
def rms_normalization(
    x: Floating,
    scale: Floating = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> jax.Array:
    """x / sqrt(mean(x**2) + epsilon) * scale, with the mean over ``axis``.

    Reference:
        Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.
    """
    along = as_axes(axis)
    mean_square = jnp.mean(x * x, along, keepdims=True)
    y = x * jax.lax.rsqrt(mean_square + (smallest() if epsilon is None else epsilon))
    return y if scale is None else y * _along(scale, x, along)


def _along(weights: jax.Array, x: jax.Array, axis: Any) -> jax.Array:
    """``weights`` with an axis for each of ``x``: its own ones at ``axis``, size 1 elsewhere."""
    if weights.ndim == x.ndim:
        return weights
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return weights.reshape([size if a in axes else 1 for a, size in enumerate(x.shape)])


# Comparisons of predictions with what is right


@operation
def binary_crossentropy(target: Floating, output: Floating, from_logits: bool = False) -> jax.Array:
    """-target * log(output) - (1 - target) * log(1 - output), element by element."""
    _check_shapes("binary_crossentropy", target, output)
    if from_logits:
        return jnp.maximum(output, 0) - output * target + jnp.log1p(jnp.exp(-jnp.abs(output)))
    output = jnp.clip(output, smallest(), 1 - smallest())
    return -target * jnp.log(output) - (1 - target) * jnp.log(1 - output)


@operation
def categorical_crossentropy(
    target: Floating, output: Floating, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """-sum(target * log(output)) along the axis of the classes."""
    _check_shapes("categorical_crossentropy", target, output)
    return -jnp.sum(target * _log_probabilities(output, from_logits, axis), axis)


@operation
def sparse_categorical_crossentropy(
    target: ArrayLike, output: Floating, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """-log(output at the target), where targets are the numbers of the classes.

    Example:
        >>> round(float(sparse_categorical_crossentropy([1], [[0.5, 0.5]])[0]), 4)
        0.6931
    """
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = target[..., 0]
    if target.shape != output.shape[:-1]:
        raise OperationError(
            explain(
                "ops.sparse_categorical_crossentropy: targets and outputs do not fit.",
                expected=f"targets of shape {output.shape[:-1]}",
                received=target.shape,
            )
        )
    classes = jax.nn.one_hot(
        target.astype("int32"), output.shape[axis], axis=axis, dtype=output.dtype
    )
    return -jnp.sum(classes * _log_probabilities(output, from_logits, axis), axis)


def _log_probabilities(output: jax.Array, from_logits: bool, axis: int) -> jax.Array:
    if from_logits:
        return jax.nn.log_softmax(output, axis)
    output = output / jnp.sum(output, axis, keepdims=True)
    return jnp.log(jnp.clip(output, smallest(), 1 - smallest()))


def _check_shapes(name: str, target: jax.Array, output: jax.Array) -> None:
    if target.shape != output.shape:
        raise OperationError(
            explain(
                f"ops.{name}: targets and outputs have different shapes.",
                expected=output.shape,
                received=target.shape,
            )
        )


@operation
def psnr(x1: Floating, x2: Floating, max_val: float) -> jax.Array:
    """The peak signal-to-noise ratio in decibels: 20 log10(max_val) - 10 log10(mean((x1-x2)^2))."""
    _check_shapes("psnr", x1, x2)
    mean_square = jnp.mean((x1 - x2) ** 2)
    return 20 * jnp.log10(jnp.asarray(max_val, x2.dtype)) - 10 * jnp.log10(mean_square)
