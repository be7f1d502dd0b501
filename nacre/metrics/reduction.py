"""Sums and means, and the metrics that are the mean of a value per example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.registry import register, snake_case
from nacre.core.scope import mask_of
from nacre.losses.loss import Loss
from nacre.losses.shapes import fitted_weights, floating
from nacre.metrics.metric import Metric, State

__all__ = ["Mean", "MeanMetric", "MeanMetricWrapper", "Sum"]


def divided(total: jax.Array, count: jax.Array) -> jax.Array:
    """``total / count``, and 0 where nothing was counted."""
    return jnp.where(count == 0, 0, total / jnp.where(count == 0, 1, count))


@register("metric")
class Sum(Metric):
    """The weighted sum of the values it is given.

    Args:
        name: the name in histories.
        dtype: the type of the total, float32 by default.

    Example:
        >>> total = Sum()
        >>> total.update_state([1.0, 3.0, 5.0], sample_weight=[1, 1, 0])
        >>> float(total.result())
        4.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def init(self) -> State:
        return {**super().init(), "total": np.zeros((), jnp.dtype(self.dtype or "float32"))}

    def update(self, state: State, values: Any, sample_weight: Any = None) -> State:
        values = floating(values)
        if sample_weight is not None:
            values = values * fitted_weights(sample_weight, values)
        total = state["total"]
        return {**state, "total": total + jnp.sum(values).astype(total.dtype)}

    def compute(self, state: State) -> jax.Array:
        return state["total"]


@register("metric")
class Mean(Metric):
    """The weighted mean of the values it is given: sum(w v) / sum(w).

    The axes after the first are averaged before. Until there are values, the mean is 0.

    Args:
        name: the name in histories.
        dtype: the type of the totals, float32 by default.

    Example:
        >>> mean = Mean()
        >>> mean.update_state([1.0, 3.0])
        >>> mean.update_state(5.0)
        >>> float(mean.result())
        3.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name)

    def init(self) -> State:
        zero = np.zeros((), jnp.dtype(self.dtype or "float32"))
        return {**super().init(), "total": zero, "count": zero}

    def update(self, state: State, values: Any, sample_weight: Any = None) -> State:
        values = floating(values)
        if sample_weight is None:
            count = values.shape[0] if values.ndim else 1
            total = jnp.sum(_mean_of_each(values))
        else:
            weights = floating(sample_weight)
            values = jnp.mean(values) if weights.ndim == 0 else values
            weights = jnp.broadcast_to(fitted_weights(weights, values), values.shape)
            count = jnp.sum(_mean_of_each(weights))
            total = jnp.sum(_mean_of_each(values * weights))
        dtype = state["total"].dtype
        return {
            **state,
            "total": state["total"] + total.astype(dtype),
            "count": state["count"] + jnp.asarray(count, dtype),
        }

    def compute(self, state: State) -> jax.Array:
        return divided(state["total"], state["count"])


def _mean_of_each(values: jax.Array) -> jax.Array:
    """The mean of each example: (B, ...) to (B,)."""
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


class MeanMetric(Mean):
    """The mean of a value per example. A subclass defines ``values(y_true, y_pred)``."""

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """The value of each example, or of each of its parts."""
        raise NotImplementedError

    def update(self, state: State, y_true: Any, y_pred: Any, sample_weight: Any = None) -> State:
        values = floating(self.values(y_true, y_pred))
        mask = mask_of(y_pred)
        if mask is not None and values.ndim > 0:
            kept = fitted_weights(jnp.asarray(mask).astype(values.dtype), values)
            if sample_weight is not None:
                kept = kept * fitted_weights(sample_weight, values)
            sample_weight = kept
        return super().update(state, values, sample_weight)


@register("metric")
class MeanMetricWrapper(MeanMetric):
    """The mean of any function of ``(y_true, y_pred)``.

    Args:
        fn: returns a value per example, or one number for the batch. May be a loss object.
        name: the function's own name by default.
        dtype: the type of the totals, float32 by default.
        **kwargs: passed to the function.

    Example:
        >>> import jax.numpy as jnp
        >>> def largest_error(y_true, y_pred):
        ...     return jnp.abs(y_true - y_pred).max(-1)
        >>> metric = MeanMetricWrapper(largest_error)
        >>> metric.update_state(jnp.array([[1.0, 2.0]]), jnp.array([[1.0, 5.0]]))
        >>> metric.name, float(metric.result())
        ('largest_error', 3.0)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)  # only the function knows which keywords it takes

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        own_name = getattr(fn, "__name__", None) or getattr(fn, "name", None)
        super().__init__(name or own_name or snake_case(type(fn).__name__), dtype)
        self.fn = fn
        self.kwargs = kwargs

    def get_config(self) -> dict[str, Any]:
        return {"fn": self.fn, "name": self.name, "dtype": self.dtype, **self.kwargs}

    def values(self, y_true: Any, y_pred: Any) -> Any:
        function = self.fn.call if isinstance(self.fn, Loss) else self.fn
        return function(y_true, y_pred, **self.kwargs)
