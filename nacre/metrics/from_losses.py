"""Metrics that are the mean of a loss, or come from one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre import losses
from nacre.core.registry import register
from nacre.losses.shapes import matched
from nacre.metrics.metric import State
from nacre.metrics.reduction import MeanMetric

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


@register("metric", "mse", "MSE")
class MeanSquaredError(MeanMetric):
    """The mean of :func:`nacre.losses.mean_squared_error`.

    Example:
        >>> float(MeanSquaredError()([[0.0], [1.0]], [[2.0], [1.0]]))
        2.0
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.mean_squared_error(y_true, y_pred)


@register("metric", "rmse", "RMSE")
class RootMeanSquaredError(MeanMetric):
    """sqrt(mean((t - y)^2)), with the mean over everything seen.

    Example:
        >>> float(RootMeanSquaredError()([[0.0], [1.0]], [[4.0], [5.0]]))
        4.0
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        t, y = matched("root_mean_squared_error", y_true, y_pred)
        return jnp.square(t - y)

    def compute(self, state: State) -> jax.Array:
        return jnp.sqrt(super().compute(state))


@register("metric", "mae", "MAE")
class MeanAbsoluteError(MeanMetric):
    """The mean of :func:`nacre.losses.mean_absolute_error`.

    Example:
        >>> float(MeanAbsoluteError()([[0.0], [1.0]], [[2.0], [1.0]]))
        1.0
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.mean_absolute_error(y_true, y_pred)


@register("metric", "mape", "MAPE")
class MeanAbsolutePercentageError(MeanMetric):
    """The mean of :func:`nacre.losses.mean_absolute_percentage_error`.

    Example:
        >>> float(MeanAbsolutePercentageError()([[2.0]], [[1.0]]))
        50.0
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.mean_absolute_percentage_error(y_true, y_pred)


@register("metric", "msle", "MSLE")
class MeanSquaredLogarithmicError(MeanMetric):
    """The mean of :func:`nacre.losses.mean_squared_logarithmic_error`.

    Example:
        >>> round(float(MeanSquaredLogarithmicError()([[0.0]], [[1.0]])), 4)
        0.4805
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.mean_squared_logarithmic_error(y_true, y_pred)


@register("metric")
class LogCoshError(MeanMetric):
    """The mean of :func:`nacre.losses.log_cosh`.

    Example:
        >>> round(float(LogCoshError()([[0.0]], [[1.0]])), 4)
        0.4338
    """

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.log_cosh(y_true, y_pred)


@register("metric")
class CosineSimilarity(MeanMetric):
    """The mean of sum(t y) / (|t| |y|): 1 where the vectors point the same way.

    Args:
        name: the name in histories.
        dtype: the type of the totals, float32 by default.
        axis: the axis of the vectors.

    Example:
        >>> round(float(CosineSimilarity()([[0.0, 1.0]], [[0.0, 3.0]])), 4)
        1.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return -losses.cosine_similarity(y_true, y_pred, self.axis)


@register("metric")
class Hinge(MeanMetric):
    """The mean of :func:`nacre.losses.hinge`.

    Example:
        >>> float(Hinge()([[0.0], [1.0]], [[-2.0], [0.5]]))
        0.25
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.hinge(y_true, y_pred)


@register("metric")
class SquaredHinge(MeanMetric):
    """The mean of :func:`nacre.losses.squared_hinge`.

    Example:
        >>> float(SquaredHinge()([[0.0], [1.0]], [[-2.0], [0.5]]))
        0.125
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.squared_hinge(y_true, y_pred)


@register("metric")
class CategoricalHinge(MeanMetric):
    """The mean of :func:`nacre.losses.categorical_hinge`.

    Example:
        >>> float(CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.75]]))
        0.75
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.categorical_hinge(y_true, y_pred)


@register("metric", "kld", "KLD")
class KLDivergence(MeanMetric):
    """The mean of :func:`nacre.losses.kl_divergence`.

    Example:
        >>> float(KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]]))
        0.0
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.kl_divergence(y_true, y_pred)


@register("metric")
class Poisson(MeanMetric):
    """The mean of :func:`nacre.losses.poisson`.

    Example:
        >>> round(float(Poisson()([[1.0]], [[1.0]])), 4)
        1.0
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.poisson(y_true, y_pred)


@register("metric", "bce", "BCE")
class BinaryCrossentropy(MeanMetric):
    """The mean of :func:`nacre.losses.binary_crossentropy`, whose arguments it takes.

    Example:
        >>> round(float(BinaryCrossentropy()([[1], [0]], [[0.5], [0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing)


@register("metric")
class CategoricalCrossentropy(MeanMetric):
    """The mean of :func:`nacre.losses.categorical_crossentropy`, whose arguments it takes.

    Example:
        >>> round(float(CategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


@register("metric")
class SparseCategoricalCrossentropy(MeanMetric):
    """The mean of :func:`nacre.losses.sparse_categorical_crossentropy`, whose arguments it takes.

    Example:
        >>> round(float(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return losses.sparse_categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.ignore_class, self.axis
        )
