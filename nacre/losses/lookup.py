"""Finding the loss that a user asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre.core.registry import resolve
from nacre.losses.loss import Loss, LossFunctionWrapper
from nacre.losses.probabilities import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)

__all__ = ["get", "kind_by_shape", "resolve_for"]


def get(identifier: Any) -> Any:
    """The loss for a name, a function, an object or None.

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> from nacre import losses
        >>> losses.get("mse") is losses.mean_squared_error
        True
    """
    return resolve("loss", identifier)


def resolve_for(
    identifier: Any, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Loss | None:
    """The loss object for what a user passed to ``compile``.

    ``"crossentropy"`` (or ``"ce"``) becomes the binary, sparse or categorical one by the shapes.

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> resolve_for("crossentropy", (None,), (None, 10)).name
        'sparse_categorical_crossentropy'
    """
    if identifier in ("crossentropy", "ce"):
        return kind_by_shape(
            y_true_shape,
            y_pred_shape,
            binary=BinaryCrossentropy,
            sparse=SparseCategoricalCrossentropy,
            categorical=CategoricalCrossentropy,
        )()
    found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    return LossFunctionWrapper(found, name=identifier if isinstance(identifier, str) else None)


def kind_by_shape(
    y_true_shape: Sequence[int | None],
    y_pred_shape: Sequence[int | None],
    *,
    binary: Any,
    sparse: Any,
    categorical: Any,
) -> Any:
    """Which of three fits: one output, integer labels, or one label per output."""
    if len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return binary
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return sparse
    return categorical
