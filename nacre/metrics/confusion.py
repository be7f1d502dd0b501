"""Metrics that count right and wrong answers of yes-or-no questions at thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import epsilon
from nacre.core.errors import ArgumentError, ShapeError, explain
from nacre.core.registry import register
from nacre.losses.shapes import aligned, fitted_weights, floating
from nacre.metrics.metric import Metric, State
from nacre.metrics.reduction import divided

__all__ = [
    "AUC",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "Recall",
    "TrueNegatives",
    "TruePositives",
]

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class _Counting(Metric):
    """Counts of true and false positives and negatives at each threshold."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None,
        name: str | None,
        dtype: Any,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        super().__init__(dtype, name)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        given = np.ravel(0.5 if thresholds is None else thresholds)
        if given.size == 0 or np.any((given < 0) | (given > 1)):
            raise ArgumentError(
                explain(
                    f"The thresholds of {type(self).__name__} are not usable.",
                    expected="numbers between 0 and 1",
                    received=repr(thresholds),
                )
            )

    def _levels(self) -> np.ndarray:
        """The thresholds as an array (T,); of the k largest predictions all count."""
        if self.thresholds is None:
            return np.array([0.5 if self.top_k is None else -np.inf])
        return np.atleast_1d(np.asarray(self.thresholds, np.float64))

    def init(self) -> State:
        zeros = np.zeros(self._levels().shape, jnp.dtype(self.dtype or "float32"))
        return {**super().init(), **dict.fromkeys(COUNTS, zeros)}

    def update(self, state: State, y_true: Any, y_pred: Any, sample_weight: Any = None) -> State:
        t, y, w = self._prepared(y_true, y_pred, sample_weight)  # each (N,)
        levels = jnp.asarray(self._levels(), y.dtype)
        positive = y[None, :] > levels[:, None]  # (T, N)
        yes, no = jnp.where(t, w, 0), jnp.where(t, 0, w)
        true_positives = jnp.sum(jnp.where(positive, yes[None, :], 0), axis=1)  # (T,)
        false_positives = jnp.sum(jnp.where(positive, no[None, :], 0), axis=1)
        added = {
            "true_positives": true_positives,
            "false_positives": false_positives,
            "true_negatives": jnp.sum(no) - false_positives,
            "false_negatives": jnp.sum(yes) - true_positives,
        }
        return {**state, **{k: state[k] + v.astype(state[k].dtype) for k, v in added.items()}}

    def _prepared(
        self, y_true: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Labels as truth values, predictions and weights, each in one row."""
        t, y = aligned(jnp.asarray(y_true), floating(y_pred))
        if t.shape != y.shape:
            raise ShapeError(
                explain(
                    f"{type(self).__name__}: the labels do not have the shape of the predictions.",
                    expected=f"y_true of shape {y.shape}",
                    received=f"y_true of shape {t.shape}",
                    fix="give one label of 0 or 1 for each prediction; class numbers must be made "
                    "one-hot first.",
                )
            )
        if self.top_k is not None:
            _, index = jax.lax.top_k(y, self.top_k)
            kept = jnp.sum(jax.nn.one_hot(index, y.shape[-1], dtype="int32"), axis=-2)  # (..., C)
            y = jnp.where(kept > 0, y, -jnp.inf)
        if self.class_id is not None:
            t, y = t[..., self.class_id, None], y[..., self.class_id, None]  # (..., C) -> (..., 1)
        weights = fitted_weights(1.0 if sample_weight is None else sample_weight, y)
        weights = jnp.broadcast_to(weights, y.shape)
        return t.ravel().astype(bool), y.ravel(), weights.ravel()

    def _shown(self, values: jax.Array) -> jax.Array:
        return values if values.size > 1 else values[0]


class _Count(_Counting):
    """One of the four counts, by the name of the class."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, name, dtype)

    _count: str

    def compute(self, state: State) -> jax.Array:
        return self._shown(state[self._count])


@register("metric")
class TruePositives(_Count):
    """The weighted number of examples of class 1 that were predicted as 1.

    Args:
        thresholds: above it a prediction counts as 1; 0.5 by default, or several.
        name: the name in histories.
        dtype: the type of the counts, float32 by default.

    Example:
        >>> float(TruePositives()([0, 1, 1, 1], [1, 0, 1, 1]))
        2.0
    """

    _count = "true_positives"


@register("metric")
class FalsePositives(_Count):
    """The weighted number of examples of class 0 that were predicted as 1.

    Example:
        >>> float(FalsePositives()([0, 1, 0, 0], [0, 0, 1, 1]))
        2.0
    """

    _count = "false_positives"


@register("metric")
class TrueNegatives(_Count):
    """The weighted number of examples of class 0 that were predicted as 0.

    Example:
        >>> float(TrueNegatives()([0, 1, 0, 0], [1, 1, 0, 0]))
        2.0
    """

    _count = "true_negatives"


@register("metric")
class FalseNegatives(_Count):
    """The weighted number of examples of class 1 that were predicted as 0.

    Example:
        >>> float(FalseNegatives()([0, 1, 1, 1], [0, 1, 0, 0]))
        2.0
    """

    _count = "false_negatives"


class _Rate(_Counting):
    """The share of true positives among those and ``_others``."""

    _others: str

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, name, dtype, top_k, class_id)

    def compute(self, state: State) -> jax.Array:
        right = state["true_positives"]
        return self._shown(divided(right, right + state[self._others]))


@register("metric")
class Precision(_Rate):
    """TP / (TP + FP): how many of those predicted as 1 are of class 1.

    Args:
        thresholds: above it a prediction counts as 1; 0.5 by default, or several.
        top_k: only the k largest predictions of an example count as 1.
        class_id: the class to look at, by default all.
        name: the name in histories.
        dtype: the type of the counts, float32 by default.

    Raises:
        ArgumentError: a threshold is not between 0 and 1.

    Example:
        >>> round(float(Precision()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
        0.6667
    """

    _others = "false_positives"


@register("metric")
class Recall(_Rate):
    """TP / (TP + FN): how many of class 1 were predicted as 1.

    Args:
        thresholds: above it a prediction counts as 1; 0.5 by default, or several.
        top_k: only the k largest predictions of an example count as 1.
        class_id: the class to look at, by default all.
        name: the name in histories.
        dtype: the type of the counts, float32 by default.

    Raises:
        ArgumentError: a threshold is not between 0 and 1.

    Example:
        >>> float(Recall()([0, 1, 1, 1, 1], [1, 0, 1, 1, 0]))
        0.5
    """

    _others = "false_negatives"


@register("metric")
class AUC(_Counting):
    """The area under the curve of true against false positive rate (ROC), or precision-recall (PR).

    The curve is drawn through the points of ``num_thresholds`` thresholds.

    Args:
        num_thresholds: how many thresholds, evenly spaced from 0 to 1.
        curve: ``"ROC"`` or ``"PR"``.
        summation_method: ``"interpolation"``, or ``"minoring"`` and ``"majoring"`` for the lower
            and the upper sum.
        name: the name in histories.
        dtype: the type of the counts, float32 by default.
        thresholds: thresholds to use instead; 0 and 1 are added.
        from_logits: whether the predictions are logits.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> float(AUC()([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]))
        0.75

    Reference:
        Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        self.num_thresholds = num_thresholds
        _require("curve", curve, ("ROC", "PR"))
        methods = ("interpolation", "minoring", "majoring")
        _require("summation_method", summation_method, methods)
        if num_thresholds < 2:
            raise ArgumentError(
                explain("AUC needs two thresholds or more.", received=repr(num_thresholds))
            )
        super().__init__(thresholds, name, dtype)
        self.curve = curve
        self.summation_method = summation_method
        self.from_logits = from_logits

    def _levels(self) -> np.ndarray:
        inner = (
            np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
            if self.thresholds is None
            else np.sort(np.ravel(self.thresholds))
        )
        # The first threshold lets everything through and the last one nothing.
        return np.array([-epsilon(), *inner, 1 + epsilon()])

    def update(self, state: State, y_true: Any, y_pred: Any, sample_weight: Any = None) -> State:
        y = floating(y_pred)
        y = jax.lax.logistic(y) if self.from_logits else jnp.clip(y, 0, 1)
        return super().update(state, y_true, y, sample_weight)

    def compute(self, state: State) -> jax.Array:
        tp, fp, tn, fn = (state[name] for name in COUNTS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_precision_recall(tp, fp, fn)
        recall = divided(tp, tp + fn)
        if self.curve == "ROC":
            x, y = divided(fp, fp + tn), recall
        else:
            x, y = recall, divided(tp, tp + fp)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2,
            "minoring": jnp.minimum(y[:-1], y[1:]),
            "majoring": jnp.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return jnp.sum((x[:-1] - x[1:]) * heights)


def _require(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise ArgumentError(
            explain(f"AUC has no such {name}.", expected=expected, received=repr(value))
        )


def _interpolated_precision_recall(tp: jax.Array, fp: jax.Array, fn: jax.Array) -> jax.Array:
    """The area under precision TP / P over recall, with TP linear in P between two thresholds.

    With TP = a + b P, the integral of TP / P dTP is b (dTP + a log(P1 / P2)), over TP + FN.
    """
    p = tp + fp
    d_tp = tp[:-1] - tp[1:]
    slope = divided(d_tp, jnp.maximum(p[:-1] - p[1:], 0))
    intercept = tp[1:] - slope * p[1:]
    both = (p[:-1] > 0) & (p[1:] > 0)
    ratio = jnp.where(both, divided(p[:-1], p[1:]), 1)
    return jnp.sum(divided(slope * (d_tp + intercept * jnp.log(ratio)), tp[1:] + fn[1:]))
