"""Losses of margin classifiers: right is not enough, it must be right by a margin.

In the equations t is the target, y the prediction, and the mean is over the last axis.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.losses.loss import PlainLoss
from nacre.losses.shapes import matched

__all__ = [
    "CategoricalHinge",
    "Hinge",
    "SquaredHinge",
    "categorical_hinge",
    "hinge",
    "squared_hinge",
]


def _signs(t: jax.Array) -> jax.Array:
    """Labels of 0 and 1 as -1 and 1; others as they are."""
    return jnp.where(jnp.all((t == 0) | (t == 1)), 2 * t - 1, t)


@register("loss")
class Hinge(PlainLoss):
    """:func:`hinge` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> float(Hinge()([[0.0], [1.0]], [[-2.0], [0.5]]))
        0.25
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return hinge(y_true, y_pred)


@register("loss")
def hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(max(1 - t y, 0)), for labels -1 and 1 (or 0 and 1, taken as -1 and 1).

    Example:
        >>> hinge([[-1.0], [1.0]], [[-2.0], [0.5]]).tolist()
        [0.0, 0.5]

    Reference:
        Cortes and Vapnik, Support-Vector Networks, 1995.
    """
    t, y = matched("hinge", y_true, y_pred)
    return jnp.mean(jnp.maximum(1 - _signs(t) * y, 0), axis=-1)


@register("loss")
class SquaredHinge(PlainLoss):
    """:func:`squared_hinge` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> float(SquaredHinge()([[0.0], [1.0]], [[-2.0], [0.5]]))
        0.125
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return squared_hinge(y_true, y_pred)


@register("loss")
def squared_hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(max(1 - t y, 0)^2), for labels -1 and 1 (or 0 and 1, taken as -1 and 1).

    Example:
        >>> squared_hinge([[-1.0], [1.0]], [[-2.0], [0.5]]).tolist()
        [0.0, 0.25]
    """
    t, y = matched("squared_hinge", y_true, y_pred)
    return jnp.mean(jnp.square(jnp.maximum(1 - _signs(t) * y, 0)), axis=-1)


@register("loss")
class CategoricalHinge(PlainLoss):
    """:func:`categorical_hinge` of a batch. Arguments as in :class:`Loss`.

    Example:
        >>> float(CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.75]]))
        0.75
    """

    def call(self, y_true: Any, y_pred: Any) -> jax.Array:
        return categorical_hinge(y_true, y_pred)


@register("loss")
def categorical_hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """max(1 + max((1 - t) y) - sum(t y), 0), for one-hot labels t.

    Example:
        >>> categorical_hinge([[0.0, 1.0]], [[0.5, 0.75]]).tolist()
        [0.75]
    """
    t, y = matched("categorical_hinge", y_true, y_pred)
    right, wrong = jnp.sum(t * y, axis=-1), jnp.max((1 - t) * y, axis=-1)
    return jnp.maximum(1 + wrong - right, 0)
