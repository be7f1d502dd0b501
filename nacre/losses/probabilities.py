"""Losses for probabilities: the cross-entropies and their kin.

In the equations t is the target and p the predicted probability. Where it comes out of a softmax or
sigmoid and the logits are known, they are used: log(p) is then exact even where p rounds to 0.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import epsilon
from nacre.core.errors import ShapeError, explain
from nacre.core.registry import register
from nacre.core.scope import logits_of
from nacre.losses.loss import Loss, PlainLoss
from nacre.losses.shapes import fix_for, floating, matched

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "KLDivergence",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "kl_divergence",
    "sparse_categorical_crossentropy",
]


@register("loss")
class KLDivergence(PlainLoss):
    """:func:`kl_divergence` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> float(KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]]))
        0.0
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return kl_divergence(y_true, y_pred)


@register("loss", "kld", "KLD", "kullback_leibler_divergence")
def kl_divergence(y_true: Any, y_pred: Any) -> jax.Array:
    """sum(t log(t / y)), where t and y are at least 1e-7.

    Example:
        >>> kl_divergence([[0.5, 0.5]], [[0.5, 0.5]]).tolist()
        [0.0]

    Reference:
        Kullback and Leibler, On Information and Sufficiency, 1951.
    """
    t, y = matched("kl_divergence", y_true, y_pred)
    t, y = jnp.clip(t, epsilon(), 1), jnp.clip(y, epsilon(), 1)
    return jnp.sum(t * jnp.log(t / y), axis=-1)


def _clipped(p: jax.Array) -> jax.Array:
    return jnp.clip(p, epsilon(), 1 - epsilon())


def _logits(y_pred: jax.Array, from_logits: bool, activation: str) -> jax.Array | None:
    """The logits, if that is what was predicted or if they are known."""
    return y_pred if from_logits else logits_of(y_pred, activation)


@register("loss")
class BinaryCrossentropy(Loss):
    """:func:`binary_crossentropy` of a batch. Other arguments as in :class:`Loss`.

    Args:
        from_logits: whether the predictions are logits rather than probabilities.
        label_smoothing: s in t (1 - s) + s / 2.
        axis: the axis to average over.

    Example:
        >>> round(float(BinaryCrossentropy()([[1], [0]], [[0.5], [0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


@register("loss", "bce", "BCE")
def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """-mean(t log(p) + (1 - t) log(1 - p)), for labels t of 0 and 1.

    Args:
        y_true: labels of shape (..., D).
        y_pred: probabilities p, or logits x with p = 1 / (1 + exp(-x)), of shape (..., D).
        from_logits: whether the predictions are logits. Probabilities are clipped to
            [1e-7, 1 - 1e-7] unless the logits behind them are known.
        label_smoothing: s in t (1 - s) + s / 2.
        axis: the axis to average over.

    Raises:
        ShapeError: the labels do not have the shape of the predictions.

    Example:
        >>> [round(v, 4) for v in binary_crossentropy([[1], [0]], [[0.5], [0.5]]).tolist()]
        [0.6931, 0.6931]
    """
    t, y = matched("binary_crossentropy", y_true, y_pred)
    t = _smoothed(t, label_smoothing, 2)
    return jnp.mean(_binary_crossentropies(t, y, from_logits), axis=axis)


def _binary_crossentropies(t: jax.Array, y: jax.Array, from_logits: bool) -> jax.Array:
    x = _logits(y, from_logits, "sigmoid")
    if x is not None:
        # log(p) = -log(1 + exp(-x)) and log(1 - p) = -log(1 + exp(x)).
        return t * jnp.logaddexp(-x, 0.0) + (1 - t) * jnp.logaddexp(x, 0.0)
    p = _clipped(y)
    return -(t * jnp.log(p) + (1 - t) * jnp.log(1 - p))


def _smoothed(t: jax.Array, label_smoothing: float, classes: int) -> jax.Array:
    return t * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else t


@register("loss")
class BinaryFocalCrossentropy(Loss):
    """:func:`binary_focal_crossentropy` of a batch. Other arguments as in :class:`Loss`.

    Args:
        apply_class_balancing: whether to weigh the classes by ``alpha``.
        alpha: the weight of class 1; class 0 has 1 - alpha.
        gamma: how strongly well-classified examples are discounted.
        from_logits: whether the predictions are logits rather than probabilities.
        label_smoothing: s in t (1 - s) + s / 2.
        axis: the axis to average over.

    Example:
        >>> round(float(BinaryFocalCrossentropy()([[1]], [[0.5]])), 4)
        0.1733
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return binary_focal_crossentropy(
            y_true,
            y_pred,
            self.apply_class_balancing,
            self.alpha,
            self.gamma,
            self.from_logits,
            self.label_smoothing,
            self.axis,
        )


@register("loss")
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """mean(w (1 - q)^gamma c): c is the binary cross-entropy, q the probability of the true class.

    The weight w is 1; with ``apply_class_balancing`` it is alpha for class 1, else 1 - alpha.

    Example:
        >>> [round(v, 4) for v in binary_focal_crossentropy([[1]], [[0.5]]).tolist()]
        [0.1733]

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, 2018.
    """
    t, y = matched("binary_focal_crossentropy", y_true, y_pred)
    t = _smoothed(t, label_smoothing, 2)
    p = jax.lax.logistic(y) if from_logits else y
    q = t * p + (1 - t) * (1 - p)
    w = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else jnp.ones_like(t)
    focal = w * jnp.power(1 - q, gamma) * _binary_crossentropies(t, y, from_logits)
    return jnp.mean(focal, axis=axis)


@register("loss")
class CategoricalCrossentropy(Loss):
    """:func:`categorical_crossentropy` of a batch. Other arguments as in :class:`Loss`.

    Args:
        from_logits: whether the predictions are logits rather than probabilities.
        label_smoothing: s in t (1 - s) + s / C.
        axis: the axis of the classes.

    Example:
        >>> round(float(CategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


@register("loss")
def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """-sum(t log(p)) over the classes, for one-hot labels or probabilities t.

    Args:
        y_true: one-hot labels of shape (..., C).
        y_pred: probabilities p, or logits x with p = softmax(x), of shape (..., C).
        from_logits: whether the predictions are logits. Probabilities are divided by their sum and
            clipped to [1e-7, 1 - 1e-7] unless the logits behind them are known.
        label_smoothing: s in t (1 - s) + s / C.
        axis: the axis of the classes.

    Raises:
        ShapeError: the labels do not have the shape of the predictions, or there is but one class.

    Example:
        >>> [round(v, 4) for v in categorical_crossentropy([[0, 1]], [[0.5, 0.5]]).tolist()]
        [0.6931]
    """
    t, y = matched("categorical_crossentropy", y_true, y_pred)
    _require_classes("categorical_crossentropy", y, axis)
    t = _smoothed(t, label_smoothing, y.shape[axis])
    x = _logits(y, from_logits, "softmax") if axis in (-1, y.ndim - 1) or from_logits else None
    if x is not None:
        log_p = jax.nn.log_softmax(x, axis=axis)
    else:
        log_p = jnp.log(_clipped(y / jnp.sum(y, axis=axis, keepdims=True)))
    return -jnp.sum(t * log_p, axis=axis)


def _require_classes(loss: str, y: jax.Array, axis: int) -> None:
    if y.shape[axis] == 1:
        raise ShapeError(
            explain(
                f"{loss}: with a single class there is nothing to learn, the loss is always 0.",
                expected="predictions for two classes or more",
                received=f"y_pred of shape {y.shape}",
                fix="for a yes-or-no question end with Dense(1, activation='sigmoid') and use the "
                "loss 'binary_crossentropy'.",
            )
        )


@register("loss")
class SparseCategoricalCrossentropy(Loss):
    """:func:`sparse_categorical_crossentropy` of a batch. Other arguments as in :class:`Loss`.

    Args:
        from_logits: whether the predictions are logits rather than probabilities.
        ignore_class: a label that counts for nothing, such as the padding's.
        axis: the axis of the classes.

    Example:
        >>> round(float(SparseCategoricalCrossentropy()([1, 0], [[0.5, 0.5], [0.5, 0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return sparse_categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.ignore_class, self.axis
        )

    def valid(self, y_true: jax.Array) -> jax.Array | None:
        return None if self.ignore_class is None else y_true != self.ignore_class


@register("loss")
def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> jax.Array:
    """-log(p_t), for a class number t. Its gradient by the logits is softmax(x) - one_hot(t).

    Args:
        y_true: class numbers of shape (...) or (..., 1), from 0 to C - 1. Others give a loss of 0.
        y_pred: probabilities p, or logits x with p = softmax(x), of shape (..., C).
        from_logits: whether the predictions are logits. Probabilities are divided by their sum and
            clipped to [1e-7, 1 - 1e-7] unless the logits behind them are known.
        ignore_class: a label whose loss is 0, such as the padding's.
        axis: the axis of the classes.

    Raises:
        ShapeError: the labels are one-hot, or do not have the shape of the predictions without
            their classes, or there is but one class.

    Example:
        >>> [round(v, 4) for v in sparse_categorical_crossentropy([1], [[0.5, 0.5]]).tolist()]
        [0.6931]
    """
    y = floating(y_pred)
    x = _logits(y, from_logits, "softmax") if axis in (-1, y.ndim - 1) or from_logits else None
    scores = jnp.moveaxis(y if x is None else x, axis, -1)  # (..., C)
    t = _class_numbers(jnp.asarray(y_true), y, axis)  # (...)
    _require_classes("sparse_categorical_crossentropy", scores, -1)
    is_class = (t >= 0) & (t < scores.shape[-1])
    index = jnp.where(is_class, t, 0)[..., None]  # (..., 1)
    if x is not None:
        scores = jax.nn.log_softmax(scores)
    # Reading one value from each row costs less than a one-hot array of all the classes.
    picked = jnp.take_along_axis(scores, index, axis=-1, mode="promise_in_bounds")[..., 0]
    if x is None:
        picked = jnp.log(_clipped(picked / jnp.sum(scores, axis=-1)))
    counts = is_class if ignore_class is None else is_class & (t != ignore_class)
    return jnp.where(counts, -picked, 0)


def _class_numbers(t: jax.Array, y: jax.Array, axis: int) -> jax.Array:
    """The labels as int32 in the shape of the predictions without the axis of their classes."""
    if t.ndim == y.ndim and t.ndim > 0 and t.shape[axis] == 1:
        t = jnp.squeeze(t, axis)
    expected = tuple(np.delete(y.shape, axis)) if y.ndim else ()
    if t.shape == expected and y.ndim:
        return t.astype(jnp.int32)
    if t.shape == y.shape:
        fix = (
            "the labels look one-hot: use the loss 'categorical_crossentropy', or make them class "
            "numbers with y.argmax(-1)."
        )
    else:
        fix = fix_for("sparse", (*t.shape, 1) if t.ndim < y.ndim else t.shape, y.shape)
    raise ShapeError(
        explain(
            "sparse_categorical_crossentropy: the labels do not fit the predictions.",
            expected=f"y_true of shape {tuple(map(int, expected))}, one class number for each row",
            received=f"y_true of shape {t.shape}, y_pred of shape {y.shape}",
            fix=fix,
        )
    )
