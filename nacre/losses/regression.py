"""Losses for numbers: how far off the predictions are.

In the equations t is the target, y the prediction, and the mean is over the last axis.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.dtypes import epsilon
from nacre.core.registry import register
from nacre.losses.loss import Loss, PlainLoss
from nacre.losses.shapes import matched

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "cosine_similarity",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
]


@register("loss")
class MeanSquaredError(PlainLoss):
    """:func:`mean_squared_error` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> float(MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]]))
        2.0
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return mean_squared_error(y_true, y_pred)


@register("loss", "mse", "MSE")
def mean_squared_error(y_true: Any, y_pred: Any) -> jax.Array:
    """mean((t - y)^2).

    Example:
        >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
        [2.0]
    """
    t, y = matched("mean_squared_error", y_true, y_pred)
    return jnp.mean(jnp.square(t - y), axis=-1)


@register("loss")
class MeanAbsoluteError(PlainLoss):
    """:func:`mean_absolute_error` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> float(MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]]))
        1.0
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return mean_absolute_error(y_true, y_pred)


@register("loss", "mae", "MAE")
def mean_absolute_error(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(|t - y|).

    Example:
        >>> mean_absolute_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
        [1.0]
    """
    t, y = matched("mean_absolute_error", y_true, y_pred)
    return jnp.mean(jnp.abs(t - y), axis=-1)


@register("loss")
class MeanAbsolutePercentageError(PlainLoss):
    """:func:`mean_absolute_percentage_error` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> round(float(MeanAbsolutePercentageError()([[2.0]], [[1.0]])))
        50
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return mean_absolute_percentage_error(y_true, y_pred)


@register("loss", "mape", "MAPE")
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> jax.Array:
    """100 mean(|(t - y) / t|), where |t| is at least 1e-7.

    Example:
        >>> mean_absolute_percentage_error([[2.0]], [[1.0]]).tolist()
        [50.0]
    """
    t, y = matched("mean_absolute_percentage_error", y_true, y_pred)
    return 100 * jnp.mean(jnp.abs((t - y) / jnp.maximum(jnp.abs(t), epsilon())), axis=-1)


@register("loss")
class MeanSquaredLogarithmicError(PlainLoss):
    """:func:`mean_squared_logarithmic_error` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> round(float(MeanSquaredLogarithmicError()([[0.0]], [[1.0]])), 4)
        0.4805
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return mean_squared_logarithmic_error(y_true, y_pred)


@register("loss", "msle", "MSLE")
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> jax.Array:
    """mean((log(1 + t) - log(1 + y))^2), where t and y are at least 1e-7.

    Example:
        >>> [round(v, 4) for v in mean_squared_logarithmic_error([[0.0]], [[1.0]]).tolist()]
        [0.4805]
    """
    t, y = matched("mean_squared_logarithmic_error", y_true, y_pred)
    log_t = jnp.log(jnp.maximum(t, epsilon()) + 1)
    log_y = jnp.log(jnp.maximum(y, epsilon()) + 1)
    return jnp.mean(jnp.square(log_t - log_y), axis=-1)


@register("loss")
class Huber(Loss):
    """:func:`huber` of a batch. Other arguments as in :class:`Loss`.

    Args:
        delta: the error from which on it counts linearly.

    Example:
        >>> float(Huber()([[0.0]], [[3.0]]))
        2.5
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return huber(y_true, y_pred, self.delta)


@register("loss")
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> jax.Array:
    """mean(e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2), with e = y - t.

    Example:
        >>> huber([[0.0]], [[3.0]]).tolist()
        [2.5]

    Reference:
        Huber, Robust Estimation of a Location Parameter, 1964.
    """
    t, y = matched("huber", y_true, y_pred)
    size = jnp.abs(y - t)
    linear = delta * size - 0.5 * delta**2
    return jnp.mean(jnp.where(size <= delta, 0.5 * jnp.square(size), linear), axis=-1)


@register("loss")
class LogCosh(PlainLoss):
    """:func:`log_cosh` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> round(float(LogCosh()([[0.0]], [[1.0]])), 4)
        0.4338
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return log_cosh(y_true, y_pred)


@register("loss", "logcosh")
def log_cosh(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(log(cosh(y - t))): squares small errors, counts large ones linearly.

    Example:
        >>> [round(v, 4) for v in log_cosh([[0.0]], [[1.0]]).tolist()]
        [0.4338]
    """
    t, y = matched("log_cosh", y_true, y_pred)
    # log(cosh(e)) = e + log(1 + exp(-2 e)) - log(2), which does not overflow.
    e = y - t
    return jnp.mean(e + jnp.logaddexp(-2 * e, 0.0) - math.log(2), axis=-1)


@register("loss")
class Poisson(PlainLoss):
    """:func:`poisson` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> round(float(Poisson()([[1.0]], [[1.0]])), 4)
        1.0
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return poisson(y_true, y_pred)


@register("loss")
def poisson(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(y - t log(y + 1e-7)), for counts t and expected counts y.

    Example:
        >>> [round(v, 4) for v in poisson([[1.0]], [[1.0]]).tolist()]
        [1.0]
    """
    t, y = matched("poisson", y_true, y_pred)
    return jnp.mean(y - t * jnp.log(y + epsilon()), axis=-1)


@register("loss")
class CosineSimilarity(Loss):
    """:func:`cosine_similarity` of a batch. Other arguments as in :class:`Loss`.

    Args:
        axis: the axis of the vectors.

    Example:
        >>> round(float(CosineSimilarity()([[0.0, 1.0]], [[0.0, 3.0]])), 4)
        -1.0
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return cosine_similarity(y_true, y_pred, self.axis)


@register("loss")
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> jax.Array:
    """-sum(t y) / (|t| |y|): -1 where the vectors point the same way, 1 where opposite.

    Example:
        >>> [round(v, 4) for v in cosine_similarity([[0.0, 1.0]], [[0.0, 3.0]]).tolist()]
        [-1.0]
    """

    def unit(v: jax.Array) -> jax.Array:
        length_squared = jnp.sum(jnp.square(v), axis=axis, keepdims=True)
        return v * jax.lax.rsqrt(jnp.maximum(length_squared, epsilon() ** 2))

    t, y = matched("cosine_similarity", y_true, y_pred)
    return -jnp.sum(unit(t) * unit(y), axis=axis)
