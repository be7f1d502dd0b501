"""Finding the metric that a user asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre.core.registry import known_names, resolve
from nacre.losses.lookup import kind_by_shape
from nacre.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from nacre.metrics.from_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from nacre.metrics.metric import Metric
from nacre.metrics.reduction import MeanMetricWrapper

__all__ = ["get", "resolve_for"]


def get(identifier: Any) -> Any:
    """The metric for a name, a function, an object or None.

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> from nacre import metrics
        >>> metrics.get("mse").name
        'mean_squared_error'
    """
    return resolve("metric", identifier)


def resolve_for(
    identifier: Any, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Metric:
    """The metric for what a user passed to ``compile``, with the name that they typed.

    ``"accuracy"`` (or ``"acc"``) and ``"crossentropy"`` (or ``"ce"``) become the binary, sparse or
    categorical kind by the shapes. A function is averaged over the examples; so is a loss.

    Args:
        identifier: a name, a function of ``(y_true, y_pred)``, a metric or a loss.
        y_true_shape: the shape of the labels, None for an axis of unknown size.
        y_pred_shape: the shape of the predictions.

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> metric = resolve_for("accuracy", (None,), (None, 10))
        >>> type(metric).__name__, metric.name
        ('SparseCategoricalAccuracy', 'accuracy')
    """
    if not isinstance(identifier, str):
        found = get(identifier)
        return found if isinstance(found, Metric) else MeanMetricWrapper(found)
    if identifier.lower() in ("accuracy", "acc"):
        kinds = (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy)
    elif identifier.lower() in ("crossentropy", "ce"):
        kinds = (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy)
    elif identifier not in known_names("metric") and identifier in known_names("loss"):
        return resolve_for(resolve("loss", identifier), y_true_shape, y_pred_shape)
    else:
        metric = get(identifier)
        return type(metric).from_config({**metric.get_config(), "name": identifier})
    binary, sparse, categorical = kinds
    kind = kind_by_shape(
        y_true_shape, y_pred_shape, binary=binary, sparse=sparse, categorical=categorical
    )
    return kind(name=identifier)
