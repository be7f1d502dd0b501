"""Accuracy: how often the prediction is right. As functions per example, and as metrics."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.errors import ShapeError, explain
from nacre.core.registry import register, register_serializable
from nacre.losses.shapes import aligned, floating
from nacre.metrics.reduction import MeanMetric

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _equal(t: jax.Array, y: jax.Array) -> jax.Array:
    # Whole numbers of different types compare as numbers: uint8 must not wrap class 300 around.
    whole = all(jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == bool for a in (t, y))
    dtype = "int32" if whole else "float32"
    return (t.astype(dtype) == y.astype(dtype)).astype("float32")


def _misfit(metric: str, expected: object, t: jax.Array, y: jax.Array, fix: str) -> ShapeError:
    return ShapeError(
        explain(
            f"{metric}: the labels do not fit the predictions.",
            expected=f"y_true of shape {expected}",
            received=f"y_true of shape {t.shape}, y_pred of shape {y.shape}",
            fix=fix,
        )
    )


@register_serializable("metric")
def accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """1 where the prediction equals the label, else 0.

    Example:
        >>> accuracy([1, 2, 3], [1, 0, 3]).tolist()
        [1.0, 0.0, 1.0]
    """
    t, y = aligned(jnp.asarray(y_true), jnp.asarray(y_pred))
    if t.shape != y.shape:
        raise _misfit("accuracy", y.shape, t, y, "compare one label with each prediction.")
    return _equal(t, y)


@register_serializable("metric")
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> jax.Array:
    """1 where the prediction lies on the label's side of the threshold, else 0.

    Args:
        y_true: labels of 0 and 1, of the shape of the predictions.
        y_pred: probabilities (or logits, with a threshold of 0).
        threshold: above it a prediction counts as 1.

    Raises:
        ShapeError: the labels do not have the shape of the predictions.

    Example:
        >>> binary_accuracy([[1], [0]], [[0.7], [0.6]]).tolist()
        [[1.0], [0.0]]
    """
    t, y = aligned(jnp.asarray(y_true), jnp.asarray(y_pred))
    if t.shape != y.shape:
        fix = "for more than two classes use 'accuracy' or 'sparse_categorical_accuracy'."
        raise _misfit("binary_accuracy", y.shape, t, y, fix)
    return _equal(t, (y > threshold).astype("int32"))


@register_serializable("metric")
def categorical_accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """1 where the largest prediction is that of the label's class, else 0.

    Args:
        y_true: one-hot labels of shape (..., C).
        y_pred: probabilities or logits of shape (..., C).

    Raises:
        ShapeError: the labels do not have the shape of the predictions.

    Example:
        >>> categorical_accuracy([[0, 1]], [[0.2, 0.8]]).tolist()
        [1.0]
    """
    t, y = jnp.asarray(y_true), jnp.asarray(y_pred)
    _require_one_hot("categorical_accuracy", t, y)
    return _equal(jnp.argmax(t, axis=-1), jnp.argmax(y, axis=-1))


def _require_one_hot(metric: str, t: jax.Array, y: jax.Array) -> None:
    if t.shape != y.shape or y.ndim == 0:
        fix = f"for class numbers use the metric 'sparse_{metric}', or 'accuracy', which chooses."
        raise _misfit(metric, y.shape, t, y, fix)


@register_serializable("metric")
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """1 where the largest prediction is that of the label, a class number; else 0.

    Args:
        y_true: class numbers of shape (...) or (..., 1).
        y_pred: probabilities or logits of shape (..., C).

    Raises:
        ShapeError: the labels do not have the shape of the predictions without their classes.

    Example:
        >>> sparse_categorical_accuracy([1, 0], [[0.2, 0.8], [0.4, 0.6]]).tolist()
        [1.0, 0.0]
    """
    y = jnp.asarray(y_pred)
    t = _class_numbers("sparse_categorical_accuracy", jnp.asarray(y_true), y)
    return _equal(t, jnp.argmax(y, axis=-1))


def _class_numbers(metric: str, t: jax.Array, y: jax.Array) -> jax.Array:
    if t.ndim == y.ndim and t.ndim > 0 and t.shape[-1] == 1:
        t = t[..., 0]  # (..., 1) -> (...)
    if y.ndim == 0 or t.shape != y.shape[:-1]:
        one_hot = metric.removeprefix("sparse_")
        fix = f"for one-hot labels use the metric {one_hot!r}, or 'accuracy', which chooses."
        raise _misfit(metric, y.shape[:-1], t, y, fix)
    return t


@register_serializable("metric")
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> jax.Array:
    """1 where the label's class is among the ``k`` largest predictions, else 0.

    Args:
        y_true: one-hot labels of shape (..., C).
        y_pred: probabilities or logits of shape (..., C).
        k: how many predictions may be looked at.

    Raises:
        ShapeError: the labels do not have the shape of the predictions.

    Example:
        >>> top_k_categorical_accuracy([[0, 0, 1]], [[0.5, 0.2, 0.3]], k=2).tolist()
        [1.0]
    """
    t, y = jnp.asarray(y_true), jnp.asarray(y_pred)
    _require_one_hot("top_k_categorical_accuracy", t, y)
    return sparse_top_k_categorical_accuracy(jnp.argmax(t, axis=-1), y, k)


@register_serializable("metric")
def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> jax.Array:
    """1 where the label, a class number, is among the ``k`` largest predictions; else 0.

    Args:
        y_true: class numbers of shape (...) or (..., 1).
        y_pred: probabilities or logits of shape (..., C).
        k: how many predictions may be looked at.
        from_sorted_ids: the predictions are class numbers instead, the likeliest first.

    Raises:
        ShapeError: the labels do not have the shape of the predictions without their classes.

    Example:
        >>> sparse_top_k_categorical_accuracy([2], [[0.5, 0.2, 0.3]], k=2).tolist()
        [1.0]
    """
    y = jnp.asarray(y_pred)
    t = _class_numbers("sparse_top_k_categorical_accuracy", jnp.asarray(y_true), y)
    if from_sorted_ids:
        found = jnp.any(_equal(t[..., None], y[..., :k]) == 1, axis=-1)
        return found.astype("float32")
    t, y = t.astype("int32"), floating(y)
    is_class = (t >= 0) & (t < y.shape[-1])
    index = jnp.where(is_class, t, 0)[..., None]  # (..., 1)
    own = jnp.take_along_axis(y, index, axis=-1, mode="promise_in_bounds")
    own = jnp.where(jnp.isnan(own), -jnp.inf, own)
    return (is_class & (jnp.sum(y > own, axis=-1) < k)).astype("float32")


@register("metric")
class Accuracy(MeanMetric):
    """How often the prediction equals the label; see :func:`accuracy`.

    Named as a string, ``"accuracy"`` chooses the kind of accuracy by the shapes instead.

    Example:
        >>> round(float(Accuracy()([1, 2, 3], [1, 0, 3])), 4)
        0.6667
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return accuracy(y_true, y_pred)


@register("metric")
class BinaryAccuracy(MeanMetric):
    """How often the prediction is on the label's side of a threshold; see :func:`binary_accuracy`.

    Args:
        name: the name in histories.
        dtype: the type of the totals, float32 by default.
        threshold: above it a prediction counts as 1.

    Example:
        >>> float(BinaryAccuracy()([[1], [0]], [[0.7], [0.6]]))
        0.5
    """

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return binary_accuracy(y_true, y_pred, self.threshold)


@register("metric")
class CategoricalAccuracy(MeanMetric):
    """How often the largest prediction is right, for one-hot labels.

    Example:
        >>> float(CategoricalAccuracy()([[0, 1], [0, 1]], [[0.2, 0.8], [0.6, 0.4]]))
        0.5
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return categorical_accuracy(y_true, y_pred)


@register("metric")
class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest prediction is right, for class numbers.

    Example:
        >>> float(SparseCategoricalAccuracy()([1, 1], [[0.2, 0.8], [0.6, 0.4]]))
        0.5
    """

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return sparse_categorical_accuracy(y_true, y_pred)


@register("metric")
class TopKCategoricalAccuracy(MeanMetric):
    """How often the label is among the ``k`` largest predictions, for one-hot labels.

    Args:
        k: how many predictions may be looked at.
        name: the name in histories.
        dtype: the type of the totals, float32 by default.

    Example:
        >>> float(TopKCategoricalAccuracy(k=2)([[0, 0, 1]], [[0.5, 0.2, 0.3]]))
        1.0
    """

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.k = k

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return top_k_categorical_accuracy(y_true, y_pred, self.k)


@register("metric")
class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the label is among the ``k`` largest predictions, for class numbers.

    Args:
        k: how many predictions may be looked at.
        name: the name in histories.
        dtype: the type of the totals, float32 by default.
        from_sorted_ids: the predictions are class numbers instead, the likeliest first.

    Example:
        >>> float(SparseTopKCategoricalAccuracy(k=2)([2], [[0.5, 0.2, 0.3]]))
        1.0
    """

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def values(self, y_true: Any, y_pred: Any) -> jax.Array:
        return sparse_top_k_categorical_accuracy(y_true, y_pred, self.k, self.from_sorted_ids)
