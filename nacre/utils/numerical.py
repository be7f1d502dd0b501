"""Class numbers to one-hot rows, and rows to unit length."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.errors import ArgumentError, DataError, explain

__all__ = ["normalize", "to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Turn class numbers into one-hot rows.

    ``y[..., k] = 1 if x[...] == k else 0``

    Args:
        x: whole numbers from 0 to ``num_classes - 1``, of any shape; a last axis of size 1 is
            dropped.
        num_classes: the number of classes; by default the largest number plus one.

    Returns:
        An array of shape ``(..., num_classes)``: a float64 NumPy array, or a float32 JAX array if
        ``x`` is one.

    Raises:
        DataError: if a class number lies outside ``0 .. num_classes - 1``.

    Example:
        >>> to_categorical([0, 2, 1]).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    classes = np.asarray(x).astype(np.int64)
    if classes.ndim > 1 and classes.shape[-1] == 1:
        classes = classes[..., 0]
    if classes.size == 0 and num_classes is None:
        raise ArgumentError(
            explain(
                "to_categorical cannot guess the number of classes of an empty array.",
                fix="pass num_classes.",
            )
        )
    count = int(classes.max()) + 1 if not num_classes else int(num_classes)
    if classes.size and (classes.min() < 0 or classes.max() >= count):
        raise DataError(
            explain(
                "to_categorical was given a class number that is out of range.",
                expected=f"whole numbers from 0 to {count - 1}",
                received=f"numbers from {classes.min()} to {classes.max()}",
                fix="pass a larger num_classes, or subtract the smallest class number first.",
            )
        )
    rows = np.zeros((classes.size, count))
    rows[np.arange(classes.size), classes.ravel()] = 1
    rows = rows.reshape((*classes.shape, count))  # (..., K)
    return jnp.asarray(rows, jnp.float32) if isinstance(x, jax.Array) else rows


def normalize(x: Any, axis: int = -1, order: float = 2) -> Any:
    """Divide by the norm along an axis, so that the norm becomes one; zeros stay zeros.

    ``y = x / ||x||_order``

    Args:
        x: an array.
        axis: the axis along which the norm is taken.
        order: the order of the norm: 1, 2, ``np.inf``, ...

    Returns:
        An array of the shape of ``x``: a JAX array if ``x`` is one, else a NumPy array.

    Example:
        >>> import numpy as np
        >>> normalize(np.array([[3.0, 4.0]])).tolist()
        [[0.6, 0.8]]
    """
    if isinstance(x, jax.Array):
        norm = jnp.linalg.norm(x, order, axis, keepdims=True)
        return x / jnp.where(norm == 0, jnp.ones_like(norm), norm)
    x = np.asarray(x)
    norm = np.asarray(np.linalg.norm(x, order, axis, keepdims=True))
    return x / np.where(norm == 0, 1, norm)
