"""Activation functions: the non-linearity that a layer applies to what it computed.

Each is a function of an array that keeps its shape. Arrays of integers are computed in the default
floating-point type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nacre.core.dtypes import floatx, is_floating
from nacre.core.registry import register, resolve
from nacre.core.scope import annotate

__all__ = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "step",
    "swish",
    "tanh",
]

# Klambauer et al. choose these so that mean 0 and variance 1 are a fixed point of a layer.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def get(identifier: Any) -> Callable[..., Any]:
    """The activation for a name, a function or None (the linear one).

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> from nacre import activations
        >>> activations.get("relu") is activations.relu
        True
    """
    return linear if identifier is None else resolve("activation", identifier)


def _floating(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return x if is_floating(x.dtype) else x.astype(floatx())


@register("activation")
def linear(x: Any) -> Any:
    """The identity: f(x) = x.

    Example:
        >>> float(linear(2.0))
        2.0
    """
    return x


@register("activation", "heaviside")
def step(x: Any) -> jax.Array:
    """The unit step: f(x) = 1 where x >= 0, else 0. Its gradient is zero everywhere.

    Example:
        >>> step([-1.0, 0.0, 2.0]).tolist()
        [0.0, 1.0, 1.0]

    Reference:
        McCulloch and Pitts, A Logical Calculus of the Ideas Immanent in Nervous Activity, 1943.
    """
    x = _floating(x)
    return (x >= 0).astype(x.dtype)


@register("activation")
def sigmoid(x: Any) -> jax.Array:
    """The logistic function: f(x) = 1 / (1 + exp(-x)), between 0 and 1.

    Example:
        >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    x = _floating(x)
    return annotate(jax.lax.logistic(x), logits=x, activation="sigmoid")


@register("activation")
def log_sigmoid(x: Any) -> jax.Array:
    """f(x) = log(1 / (1 + exp(-x))) = -softplus(-x).

    Example:
        >>> float(log_sigmoid(-1000.0))
        -1000.0
    """
    return -softplus(-_floating(x))


@register("activation")
def tanh(x: Any) -> jax.Array:
    """The hyperbolic tangent: f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), between -1 and 1.

    Example:
        >>> float(tanh(0.0))
        0.0
    """
    return jnp.tanh(_floating(x))


@register("activation")
def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> jax.Array:
    """The rectified linear unit: f(x) = max(x, 0), by default.

    In general f(x) = max_value where x >= max_value, x where threshold < x < max_value, and
    negative_slope * (x - threshold) where x <= threshold.

    Args:
        x: an array of any shape.
        negative_slope: the slope below the threshold.
        max_value: the largest value, or None for no limit.
        threshold: below it, values are damped or set to zero.

    Example:
        >>> relu([-2.0, 0.5, 9.0], negative_slope=0.5, max_value=6.0).tolist()
        [-1.0, 0.5, 6.0]

    Reference:
        Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010.
    """
    x = jnp.asarray(x)
    positive = _positive(x) if threshold == 0 else jnp.where(x > threshold, x, 0)
    if max_value is not None:
        positive = jnp.clip(positive, 0, max_value)
    if negative_slope == 0:
        return positive
    return positive - negative_slope * _positive(threshold - x)


def _positive(x: jax.Array) -> jax.Array:
    """``max(x, 0)`` with gradient 0 where x is 0; NaN stays NaN. A deep network has many of it."""
    zero = lax.broadcast(np.zeros((), x.dtype), x.shape)
    return lax.select(lax.le(x, zero), zero, x)


@register("activation")
def relu6(x: Any) -> jax.Array:
    """f(x) = min(max(x, 0), 6).

    Example:
        >>> relu6([-1.0, 3.0, 9.0]).tolist()
        [0.0, 3.0, 6.0]
    """
    return jax.nn.relu6(jnp.asarray(x))


@register("activation")
def leaky_relu(x: Any, negative_slope: float = 0.2) -> jax.Array:
    """f(x) = x where x > 0, else negative_slope * x.

    Example:
        >>> leaky_relu([-5.0, 2.0]).tolist()
        [-1.0, 2.0]

    Reference:
        Maas et al., Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013.
    """
    x = _floating(x)
    return jnp.where(x > 0, x, negative_slope * x)


@register("activation")
def elu(x: Any, alpha: float = 1.0) -> jax.Array:
    """f(x) = x where x > 0, else alpha * (exp(x) - 1).

    Example:
        >>> elu([-1000.0, 2.0]).tolist()
        [-1.0, 2.0]

    Reference:
        Clevert et al., Fast and Accurate Deep Network Learning by Exponential Linear Units, 2016.
    """
    x = _floating(x)
    # The side not taken must stay finite too, or its gradient would be zero times infinity.
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.where(x > 0, 0, x)))


@register("activation")
def celu(x: Any, alpha: float = 1.0) -> jax.Array:
    """f(x) = x where x > 0, else alpha * (exp(x / alpha) - 1).

    Example:
        >>> celu([-1000.0, 2.0], alpha=2.0).tolist()
        [-2.0, 2.0]

    Reference:
        Barron, Continuously Differentiable Exponential Linear Units, 2017.
    """
    x = _floating(x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.where(x > 0, 0, x) / alpha))


@register("activation")
def selu(x: Any) -> jax.Array:
    """f(x) = scale * elu(x, alpha), with scale = 1.0507 and alpha = 1.6733.

    Use it with ``lecun_normal`` weights; the outputs of such layers keep mean 0 and variance 1.

    Example:
        >>> round(float(selu(1.0)), 4)
        1.0507

    Reference:
        Klambauer et al., Self-Normalizing Neural Networks, 2017.
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


@register("activation")
def gelu(x: Any, approximate: bool = False) -> jax.Array:
    """f(x) = x * P(X <= x) for a standard normal X.

    With ``approximate``: f(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).

    Example:
        >>> round(float(gelu(1.0)), 4)
        0.8413

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    return jax.nn.gelu(_floating(x), approximate=approximate)


@register("activation", "swish")
def silu(x: Any) -> jax.Array:
    """f(x) = x * sigmoid(x).

    Example:
        >>> round(float(silu(1.0)), 4)
        0.7311

    Reference:
        Ramachandran et al., Searching for Activation Functions, 2017.
    """
    x = _floating(x)
    return x * jax.lax.logistic(x)


swish = silu


@register("activation")
def softplus(x: Any) -> jax.Array:
    """f(x) = log(1 + exp(x)), a smooth relu.

    Example:
        >>> softplus([-1000.0, 1000.0]).tolist()
        [0.0, 1000.0]
    """
    return jnp.logaddexp(_floating(x), 0.0)


@register("activation")
def softsign(x: Any) -> jax.Array:
    """f(x) = x / (1 + |x|), between -1 and 1.

    Example:
        >>> float(softsign(1.0))
        0.5
    """
    x = _floating(x)
    return x / (1 + jnp.abs(x))


@register("activation")
def exponential(x: Any) -> jax.Array:
    """f(x) = exp(x).

    Example:
        >>> float(exponential(0.0))
        1.0
    """
    return jnp.exp(_floating(x))


@register("activation")
def hard_sigmoid(x: Any) -> jax.Array:
    """f(x) = relu6(x + 3) / 6, a sigmoid of straight lines.

    Example:
        >>> hard_sigmoid([-3.0, 0.0, 3.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    return jax.nn.relu6(_floating(x) + 3) / 6


@register("activation", "hard_swish")
def hard_silu(x: Any) -> jax.Array:
    """f(x) = x * hard_sigmoid(x).

    Example:
        >>> float(hard_silu(3.0))
        3.0

    Reference:
        Howard et al., Searching for MobileNetV3, 2019.
    """
    x = _floating(x)
    return x * hard_sigmoid(x)


@register("activation")
def hard_tanh(x: Any) -> jax.Array:
    """f(x) = min(max(x, -1), 1).

    Example:
        >>> hard_tanh([-4.0, 0.5]).tolist()
        [-1.0, 0.5]
    """
    x = _floating(x)
    return jnp.where(x > 1, 1, jnp.where(x < -1, -1, x))


@register("activation")
def mish(x: Any) -> jax.Array:
    """f(x) = x * tanh(softplus(x)).

    Example:
        >>> float(mish(0.0))
        0.0

    Reference:
        Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.
    """
    x = _floating(x)
    return x * jnp.tanh(softplus(x))


@register("activation")
def softmax(x: Any, axis: int | Sequence[int] = -1) -> jax.Array:
    """f(x)_i = exp(x_i) / sum_j exp(x_j): positive numbers that sum to 1 along ``axis``.

    The largest x is subtracted from all first, which changes nothing but keeps exp finite.

    Args:
        x: an array of any shape.
        axis: the axis of the classes, or several axes.

    Example:
        >>> softmax([1000.0, 1000.0]).tolist()
        [0.5, 0.5]
    """
    x = _floating(x)
    y = jax.nn.softmax(x, axis=axis if isinstance(axis, int) else tuple(axis))
    is_last = axis in (-1, x.ndim - 1)
    return annotate(y, logits=x, activation="softmax") if is_last else y


@register("activation")
def log_softmax(x: Any, axis: int | Sequence[int] = -1) -> jax.Array:
    """f(x)_i = x_i - log(sum_j exp(x_j)), the logarithm of :func:`softmax`.

    Example:
        >>> [round(v, 4) for v in log_softmax([0.0, 0.0]).tolist()]
        [-0.6931, -0.6931]
    """
    return jax.nn.log_softmax(_floating(x), axis=axis if isinstance(axis, int) else tuple(axis))
