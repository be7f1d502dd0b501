"""Overlap of predicted and true regions, from the confusion matrix of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import epsilon
from nacre.core.errors import ArgumentError, ShapeError, explain
from nacre.core.registry import register
from nacre.losses.shapes import fitted_weights, floating
from nacre.metrics.metric import Metric, State

__all__ = ["BinaryIoU", "IoU", "MeanIoU"]


@register("metric", "iou")
class IoU(Metric):
    """Intersection over union, TP / (TP + FP + FN), averaged over the target classes.

    Classes that appear neither in the labels nor in the predictions are left out.

    Args:
        num_classes: the number of classes.
        target_class_ids: the classes to average over.
        name: the name in histories.
        dtype: the type of the counts, float32 by default.
        ignore_class: a label whose places count for nothing.
        sparse_y_true: whether the labels are class numbers rather than one-hot.
        sparse_y_pred: whether the predictions are class numbers rather than probabilities.
        axis: the axis of the classes, where they are not class numbers.

    Raises:
        ArgumentError: a target class is not among the classes.

    Example:
        >>> iou = IoU(num_classes=2, target_class_ids=[0])
        >>> iou.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        >>> round(float(iou.result()), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(dtype, name)
        if not all(0 <= number < num_classes for number in target_class_ids):
            raise ArgumentError(
                explain(
                    "A target class is not among the classes.",
                    expected=f"numbers from 0 to {num_classes - 1}",
                    received=list(target_class_ids),
                )
            )
        self.num_classes = num_classes
        self.target_class_ids = target_class_ids
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis

    def init(self) -> State:
        size = (self.num_classes, self.num_classes)
        return {**super().init(), "confusion": np.zeros(size, jnp.dtype(self.dtype or "float32"))}

    def update(self, state: State, y_true: Any, y_pred: Any, sample_weight: Any = None) -> State:
        t, y = jnp.asarray(y_true), jnp.asarray(y_pred)
        t = t if self.sparse_y_true else jnp.argmax(t, axis=self.axis)
        y = y if self.sparse_y_pred else jnp.argmax(y, axis=self.axis)
        if t.size != y.size:
            raise ShapeError(
                explain(
                    f"{type(self).__name__}: there must be a label for each prediction.",
                    expected=f"labels of shape {y.shape}",
                    received=t.shape,
                    fix="pass sparse_y_true=False for one-hot labels, or sparse_y_pred=False for "
                    "probabilities.",
                )
            )
        ones = jnp.ones(t.shape, state["confusion"].dtype)
        weights = ones if sample_weight is None else ones * fitted_weights(sample_weight, ones)
        t, y, weights = t.ravel().astype("int32"), y.ravel().astype("int32"), weights.ravel()
        counts = (t >= 0) & (t < self.num_classes) & (y >= 0) & (y < self.num_classes)
        if self.ignore_class is not None:
            counts = counts & (t != self.ignore_class)
        t, y, weights = (jnp.where(counts, a, 0) for a in (t, y, weights))
        return {**state, "confusion": jnp.asarray(state["confusion"]).at[t, y].add(weights)}

    def compute(self, state: State) -> jax.Array:
        confusion = state["confusion"].astype("float32")
        both = jnp.diag(confusion)
        either = jnp.sum(confusion, axis=0) + jnp.sum(confusion, axis=1) - both
        targets = jnp.asarray(list(self.target_class_ids))
        both, either = both[targets], either[targets]
        seen = either > 1e-9
        overlaps = jnp.where(seen, both / (either + epsilon()), 0)
        return jnp.sum(overlaps) / (jnp.sum(seen.astype("float32")) + epsilon())


@register("metric", "mean_iou")
class MeanIoU(IoU):
    """:class:`IoU` averaged over all classes, whose other arguments it takes.

    Example:
        >>> iou = MeanIoU(num_classes=2)
        >>> iou.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        >>> round(float(iou.result()), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )


@register("metric", "binary_iou")
class BinaryIoU(IoU):
    """:class:`IoU` of probabilities, which count as class 1 from ``threshold`` on.

    Args:
        target_class_ids: the classes to average over, 0 and 1.
        threshold: from it on a prediction counts as class 1.
        name: the name in histories.
        dtype: the type of the counts, float32 by default.

    Example:
        >>> iou = BinaryIoU(threshold=0.3)
        >>> iou.update_state([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7])
        >>> round(float(iou.result()), 4)
        0.3333
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update(self, state: State, y_true: Any, y_pred: Any, sample_weight: Any = None) -> State:
        y = (floating(y_pred) >= self.threshold).astype("int32")
        return super().update(state, y_true, y, sample_weight)
