"""Regularizers: penalties on a layer's weights or outputs that are added to the loss."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register, resolve

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]


def get(identifier: Any) -> Any:
    """The regularizer for a name, a function, an object or None.

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> from nacre import regularizers
        >>> regularizers.get("l2").l2
        0.01
    """
    return resolve("regularizer", identifier)


class Regularizer(Configurable):
    """Base class: a callable from an array to a number. A subclass defines ``__call__``."""

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError


def _require_factor(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value >= 0):
        raise ArgumentError(
            explain(
                f"The factor {name} of a regularizer is not usable.",
                expected="a finite number >= 0",
                received=repr(value),
            )
        )


@register("regularizer")
class L1(Regularizer):
    """The penalty l1 * sum |x|, which drives weights to exactly zero.

    Args:
        l1: the factor, at least 0.

    Raises:
        ArgumentError: the factor is negative or not a finite number.

    Example:
        >>> float(L1(0.5)([1.0, -3.0]))
        2.0

    Reference:
        Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996.
    """

    def __init__(self, l1: float = 0.01) -> None:
        _require_factor("l1", l1)
        self.l1 = l1

    def __call__(self, x: Any) -> jax.Array:
        return self.l1 * jnp.sum(jnp.abs(jnp.asarray(x)))


@register("regularizer")
class L2(Regularizer):
    """The penalty l2 * sum x^2, which keeps weights small.

    Args:
        l2: the factor, at least 0.

    Raises:
        ArgumentError: the factor is negative or not a finite number.

    Example:
        >>> float(L2(0.5)([1.0, -3.0]))
        5.0

    Reference:
        Hoerl and Kennard, Ridge Regression, 1970.
    """

    def __init__(self, l2: float = 0.01) -> None:
        _require_factor("l2", l2)
        self.l2 = l2

    def __call__(self, x: Any) -> jax.Array:
        return self.l2 * jnp.sum(jnp.square(jnp.asarray(x)))


@register("regularizer")
class L1L2(Regularizer):
    """The penalty l1 * sum |x| + l2 * sum x^2.

    Args:
        l1: the factor of the absolute values, at least 0.
        l2: the factor of the squares, at least 0.

    Raises:
        ArgumentError: a factor is negative or not a finite number.

    Example:
        >>> float(L1L2(l1=1.0, l2=0.5)([1.0, -3.0]))
        9.0

    Reference:
        Zou and Hastie, Regularization and Variable Selection via the Elastic Net, 2005.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        _require_factor("l1", l1)
        _require_factor("l2", l2)
        self.l1 = l1
        self.l2 = l2

    def __call__(self, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return self.l1 * jnp.sum(jnp.abs(x)) + self.l2 * jnp.sum(jnp.square(x))


l1, l2, l1_l2 = L1, L2, L1L2
