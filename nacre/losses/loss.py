"""A loss as an object: it weighs the examples of a batch and reduces them to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.configurable import Configurable
from nacre.core.dtypes import as_policy
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register, snake_case
from nacre.core.scope import mask_of
from nacre.losses.shapes import aligned, fitted_weights, floating

__all__ = ["Loss", "LossFunctionWrapper", "PlainLoss"]

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss(Configurable):
    """Base class of losses. A subclass defines ``call(y_true, y_pred)``, a value per example.

    Args:
        name: the name in messages and histories; the class's own by default.
        reduction: ``"sum_over_batch_size"`` (or ``"mean"``) for the mean over all values,
            ``"sum"``, ``"mean_with_sample_weight"`` to divide by the sum of the weights, or
            ``"none"`` (or None) for no reduction.
        dtype: the type to compute in; by default the predictions' own, and at least float32.

    Raises:
        ArgumentError: the reduction is not one of these.

    Example:
        >>> from nacre import losses
        >>> class Cubed(losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return abs(y_true - y_pred).mean(-1) ** 3
        >>> float(Cubed()([[0.0], [0.0]], [[1.0], [3.0]]))
        14.0
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ArgumentError(
                explain(
                    f"{type(self).__name__} cannot be reduced like this.",
                    expected=", ".join(map(repr, REDUCTIONS)),
                    received=repr(reduction),
                )
            )
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction
        self.dtype = dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """A value for each example."""
        raise NotImplementedError

    def valid(self, y_true: jax.Array) -> jax.Array | None:
        """Which targets count at all; None stands for all of them."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> jax.Array:
        """The loss of a batch.

        Args:
            y_true: the targets, numbers of any type.
            y_pred: the predictions.
            sample_weight: a weight for each example, or for each value, or one number.

        Raises:
            ShapeError: targets, predictions and weights do not fit together.
        """
        dtype = None if self.dtype is None else as_policy(self.dtype).compute_dtype
        y_pred = _map_arrays(lambda y: floating(y, dtype), y_pred)
        pred_dtype = jax.tree.leaves(y_pred)[0].dtype
        y_true = _map_arrays(lambda t: floating(t, pred_dtype), y_true)
        values = floating(self.call(y_true, y_pred), dtype)
        mask = mask_of(y_pred)
        valid = self.valid(y_true)
        if valid is not None:
            mask = valid if mask is None else valid & mask.astype(bool).reshape(valid.shape)
        return _reduced(values, sample_weight, mask, self.reduction)


def _map_arrays(change: Callable[[Any], Any], tree: Any) -> Any:
    """``change`` of an array, of nested numbers, or of every array in a list or dictionary."""
    if all(hasattr(leaf, "shape") for leaf in jax.tree.leaves(tree)):
        return jax.tree.map(change, tree)
    return change(np.asarray(tree))


@register("loss")
class LossFunctionWrapper(Loss):
    """A function of ``(y_true, y_pred)`` as a loss object.

    Args:
        fn: returns a value per example.
        reduction: as in :class:`Loss`.
        name: the function's own name by default.
        dtype: as in :class:`Loss`.
        **kwargs: passed to the function.

    Example:
        >>> from nacre.losses import huber
        >>> loss = LossFunctionWrapper(huber, delta=0.5)
        >>> loss.name, float(loss([[0.0]], [[1.0]]))
        ('huber', 0.375)
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        own_name = getattr(fn, "__name__", None) or snake_case(type(fn).__name__)
        super().__init__(name or own_name, reduction, dtype)
        self.fn = fn
        self.kwargs = kwargs

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)  # only the function knows which keywords it takes

    def get_config(self) -> dict[str, Any]:
        config = {
            "fn": self.fn,
            "reduction": self.reduction,
            "name": self.name,
            "dtype": self.dtype,
        }
        return {**config, **self.kwargs}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if isinstance(y_true, jax.Array) and isinstance(y_pred, jax.Array):
            y_true, y_pred = aligned(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.kwargs)


class PlainLoss(Loss):
    """A loss without settings of its own; its arguments stand in Keras's order."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)


def _reduced(values: jax.Array, sample_weight: Any, mask: Any, reduction: str | None) -> jax.Array:
    """The weighted values, reduced. Masked-out values count in neither the sum nor the number."""
    count = jnp.asarray(max(values.size, 1), values.dtype)
    weight_sum = count
    if sample_weight is not None:
        weights = fitted_weights(sample_weight, values)
        weight_sum = jnp.sum(weights)
        values = values * weights
    if mask is not None:
        kept = fitted_weights(jnp.asarray(mask).astype(values.dtype), values)
        values = values * kept
        count = count * jnp.mean(kept)
        weight_sum = count if sample_weight is None else jnp.sum(weights * kept)
    if reduction in ("none", None):
        return values
    total = jnp.sum(values)
    if reduction == "sum":
        return total
    divisor = weight_sum if reduction == "mean_with_sample_weight" else count
    return jnp.where(divisor == 0, 0, total / jnp.where(divisor == 0, 1, divisor))
