"""What losses and metrics ask of the shapes and types of targets, predictions and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.dtypes import is_floating
from nacre.core.errors import ShapeError, explain
from nacre.core.scope import annotate, logits_of, mask_of

__all__ = ["aligned", "fitted_weights", "fix_for", "floating", "matched"]


def floating(x: Any, dtype: Any = None) -> jax.Array:
    """``x`` in ``dtype``, by default in float32 or what is wider."""
    # Under a transformation asarray may return another tracer, of which nothing would be known.
    array = x if isinstance(x, jax.Array) else jnp.asarray(x)
    if dtype is None:
        is_wide = is_floating(array.dtype) and array.dtype.itemsize >= 4
        dtype = array.dtype if is_wide else "float32"
    return _carried(array, lambda a: a.astype(dtype))


def _carried(x: jax.Array, change: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """``change(x)``, with the mask of x kept and the logits behind x changed in the same way."""
    y = change(x)
    if y is x:
        return y
    for activation in ("softmax", "sigmoid"):
        logits = logits_of(x, activation)
        if logits is not None:
            annotate(y, logits=change(logits), activation=activation)
    return annotate(y, mask=mask_of(x))


def aligned(y_true: jax.Array, y_pred: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both with the same number of axes, where a last axis of size 1 can make it so."""
    if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
        if y_pred.ndim == 1:
            return y_true, _carried(y_pred, lambda y: y[:, None])  # (B,) -> (B, 1)
        return y_true[..., 0], y_pred  # (B, T, 1) -> (B, T)
    if y_pred.ndim == y_true.ndim + 1 and y_pred.shape[-1] == 1:
        if y_true.ndim == 1:
            return y_true[:, None], y_pred  # (B,) -> (B, 1)
        return y_true, _carried(y_pred, lambda y: y[..., 0])  # (B, T, 1) -> (B, T)
    return y_true, y_pred


def matched(loss: str, y_true: Any, y_pred: Any) -> tuple[jax.Array, jax.Array]:
    """Both as floating-point arrays of one shape, or an error that says what to change."""
    y_pred = floating(y_pred)
    y_true, y_pred = aligned(jnp.asarray(y_true), y_pred)
    if y_true.shape != y_pred.shape or y_pred.ndim == 0:
        raise ShapeError(
            explain(
                f"{loss}: the targets do not have the shape of the predictions.",
                expected=f"y_true of shape {y_pred.shape}, one target for each prediction",
                received=f"y_true of shape {y_true.shape}, y_pred of shape {y_pred.shape}",
                fix=fix_for(loss, y_true.shape, y_pred.shape),
            )
        )
    return y_true.astype(y_pred.dtype), y_pred


def fix_for(loss: str, t: tuple[int, ...], y: tuple[int, ...]) -> str:
    """What to change when targets of shape ``t`` met predictions of shape ``y``."""
    if not t or not y:
        return "give both at least one axis, the batch."
    if t[0] != y[0]:
        return "hand over as many targets as predictions; the first axis counts the examples."
    is_one_target = t == y[:-1] or t == (*y[:-1], 1)
    classes = y[-1]
    if loss.startswith("categorical") and is_one_target:
        return (
            "the labels look like class numbers: use the loss 'sparse_categorical_crossentropy', "
            f"or make them one-hot with nacre.utils.to_categorical(y, num_classes={classes})."
        )
    if loss.startswith("binary") and is_one_target:
        return (
            "a yes-or-no question has one output: end with Dense(1, activation='sigmoid'). For "
            f"{classes} classes keep the outputs, end with a softmax and use the loss "
            "'sparse_categorical_crossentropy'."
        )
    if is_one_target:
        return f"one target is compared with {classes} outputs: end with Dense(1)."
    if t[:-1] == y[:-1]:
        return f"end with as many units as there are targets for an example, Dense({t[-1]})."
    if len(t) < len(y):
        return (
            "the predictions have more axes than the targets: a Flatten or global pooling may be "
            "missing, or return_sequences=True be one too many."
        )
    return "reshape the targets, or change the last layer, so that both shapes agree."


def fitted_weights(weights: Any, values: jax.Array) -> jax.Array:
    """``weights`` with as many axes as ``values``: an example's weight counts for all it has."""
    weights = floating(weights).astype(values.dtype)
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    given = weights.shape
    if 0 < weights.ndim <= values.ndim:
        weights = weights.reshape(given + (1,) * (values.ndim - weights.ndim))
        if all(w in (1, v) for w, v in zip(weights.shape, values.shape)):
            return weights
    elif weights.ndim == 0:
        return weights.reshape((1,) * values.ndim)
    raise ShapeError(
        explain(
            "The sample weights (or the mask) do not fit the losses they are to weigh.",
            expected=f"the shape {values.shape}, or its first axes",
            received=given,
            fix="pass one weight for each example. Targets and predictions without a last axis are "
            "averaged over the batch: give them one, y[:, None].",
        )
    )
