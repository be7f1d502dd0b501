"""Whether labels, the last layer, the loss and the metrics of one output fit together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from nacre import activations
from nacre.core.dtypes import is_floating
from nacre.core.errors import DataError, explain
from nacre.core.layer import Layer, layers_of
from nacre.core.scope import current_scope
from nacre.layers.activation import ELU, LeakyReLU, PReLU, ReLU, Softmax
from nacre.losses import probabilities
from nacre.losses.loss import LossFunctionWrapper
from nacre.metrics.accuracy import BinaryAccuracy, SparseCategoricalAccuracy

if TYPE_CHECKING:
    from nacre.models.model import Model
    from nacre.training.objective import Head, Objective

__all__ = [
    "check_head",
    "is_model",
    "last_layers",
    "loss_of_guessing",
    "made_by",
    "warn_about_head",
]

KINDS = {
    probabilities.BinaryCrossentropy: "binary",
    probabilities.binary_crossentropy: "binary",
    probabilities.CategoricalCrossentropy: "categorical",
    probabilities.categorical_crossentropy: "categorical",
    probabilities.SparseCategoricalCrossentropy: "sparse",
    probabilities.sparse_categorical_crossentropy: "sparse",
}
# What gives probabilities, or numbers that the loss makes into some by dividing by their sum.
PROBABILITIES = {
    "binary": {"sigmoid", "hard_sigmoid", "softmax"},
    "categorical": {"softmax", "exponential"},
    "sparse": {"softmax", "exponential"},
}
MARGIN = 0.5  # smoothed and noisy labels of 0 and 1 pass


class Kind(NamedTuple):
    """A cross-entropy: which one, and whether of logits."""

    name: str
    from_logits: bool
    ignored: Any

    @classmethod
    def of(cls, loss: Any) -> Kind | None:
        """What a loss is, or None for another one."""
        wrapped = isinstance(loss, LossFunctionWrapper)
        name = KINDS.get(loss.fn if wrapped else type(loss))
        if name is None:
            return None
        options = loss.kwargs if wrapped else vars(loss)
        return cls(name, bool(options.get("from_logits")), options.get("ignore_class"))


# Labels


def check_head(model: Model, head: Head, labels: np.ndarray, weight: Any, prediction: Any) -> None:
    """Raise if labels are not among those that the output's loss has.

    Args:
        model: the model.
        head: the output's loss.
        labels: the output's targets.
        weight: the weights of the examples, or None; what weighs nothing may be labelled anyhow.
        prediction: the shape of the output.

    Raises:
        DataError: a label is out of range, or between two classes.
    """
    kind = Kind.of(head.loss)
    if kind is None or kind.name == "categorical" or labels.dtype.kind not in "biuf":
        return
    counted = _counted(model, labels, weight, kind.ignored)
    if counted is None or not counted.size:
        return
    low, high = counted.min(), counted.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return
    if kind.name == "binary":
        if low < -MARGIN or high > 1 + MARGIN:
            raise _not_binary(low, high)
    elif prediction.shape[-1] and prediction.shape[-1] > 1:
        _check_class_numbers(counted, prediction.shape[-1], low, high)


def _counted(model: Model, labels: np.ndarray, weight: Any, ignored: Any) -> np.ndarray | None:
    """The labels that count in the loss, or None if that cannot be known here."""
    steps = labels.ndim > 1 and labels.shape[1] > 1
    if steps and any(_makes_masks(layer) for layer in layers_of(model).values()):
        return None
    if weight is not None:
        if weight.shape != labels.shape[: weight.ndim]:
            return None
        labels = labels[weight != 0]
    return labels if ignored is None else labels[labels != ignored]


def _makes_masks(layer: Layer) -> bool:
    return bool(getattr(layer, "mask_zero", False)) or type(layer).__name__ == "Masking"


def _not_binary(low: Any, high: Any) -> DataError:
    if low < 0 <= high <= 1:
        fix = "for labels of -1 and 1 use the loss 'hinge', or y = (y + 1) / 2."
    elif (low, high) == (1, 2):
        fix = "the classes are numbered from 1: pass y - 1."
    elif high == 255:
        fix = "scale the targets: y = y / 255."
    else:
        fix = (
            f"for {int(high) + 1} classes end with Dense({int(high) + 1}, activation='softmax') "
            "and use the loss 'sparse_categorical_crossentropy'; for quantities use 'mse'."
        )
    return DataError(
        explain(
            "binary_crossentropy: the targets are not labels of a yes-or-no question.",
            expected="0 and 1, or probabilities between them",
            received=f"{low:g} to {high:g}",
            fix=fix,
        )
    )


def _check_class_numbers(labels: np.ndarray, classes: int, low: Any, high: Any) -> None:
    if is_floating(labels.dtype) and (labels != np.floor(labels)).any():
        between = labels[labels != np.floor(labels)][0]
        raise DataError(
            explain(
                "sparse_categorical_crossentropy: the targets are not class numbers.",
                expected=f"whole numbers from 0 to {classes - 1}",
                received=f"{between:g} among others",
                fix="for quantities use the loss 'mse' and end with Dense(1).",
            )
        )
    if low >= 0 and high < classes:
        return
    high, low = int(high), int(low)
    if low < 0:
        fix = (
            f"number the classes from 0. If {low} stands for no label, use the loss "
            f"nacre.losses.SparseCategoricalCrossentropy(ignore_class={low})."
        )
    elif low >= 1 and high == classes:
        fix = "the classes seem to be numbered from 1: pass y - 1."
    else:
        fix = f"give the last layer {high + 1} units, or check the labels."
    raise DataError(
        explain(
            "sparse_categorical_crossentropy: a class number is out of range.",
            expected=f"whole numbers from 0 to {classes - 1}, for {classes} outputs",
            received=f"{low} to {high}",
            fix=fix,
        )
    )


def loss_of_guessing(objective: Objective) -> float | None:
    """The loss of a model that guesses, where there is one output with a cross-entropy."""
    kind = Kind.of(objective.heads[0].loss) if objective.single else None
    if kind is None:
        return None
    classes = 2 if kind.name == "binary" else objective.predictions[0].shape[-1]
    return math.log(classes) if classes and classes > 1 else None


# The last activation, and metrics


def is_model(layer: Any) -> bool:
    """Whether a layer is a model, whose module imports this one."""
    return hasattr(layer, "_graph")


def last_layers(outputs: Any) -> list[Layer | None]:
    """The layer that each symbolic output comes from; None where it is no layer's."""
    in_order = outputs.values() if isinstance(outputs, dict) else jax.tree.leaves(outputs)
    return [_maker(tensor) for tensor in in_order]  # the leaves of a dictionary are sorted


def _maker(tensor: Any) -> Layer | None:
    while True:
        node = getattr(tensor, "node", None)
        layer = None if node is None else node.operation
        if not isinstance(layer, Layer):
            return None
        if not is_model(layer):
            return layer
        inner = jax.tree.leaves(layer.output) if layer.has_known_input else []  # type: ignore
        if len(inner) != 1 or inner[0] is tensor:
            return None
        tensor = inner[0]


def made_by(outputs: Any) -> list[Layer | None]:
    """The same, asked within the call that computes ``outputs``."""
    scope = current_scope()
    found: dict[int, Layer] = {}
    for layer, _, results in scope.records if scope is not None else []:
        for result in jax.tree.leaves(results):
            found.setdefault(id(result), layer)  # the innermost is noted first
    makers = [found.get(id(output)) for output in jax.tree.leaves(outputs)]
    return [None if is_model(maker) else maker for maker in makers]


def _last_activation(maker: Layer | None) -> str | None:
    """The name of the activation function that a layer ends with, or None if not known."""
    if isinstance(maker, Softmax):
        return "softmax" if maker.axis == -1 else None
    if isinstance(maker, ReLU | ELU | LeakyReLU | PReLU):
        return type(maker).__name__
    if type(maker).__module__ not in (
        "nacre.layers.dense",
        "nacre.layers.convolution",
        "nacre.layers.activation",
    ):
        return None
    name = getattr(getattr(maker, "activation", None), "__name__", "")
    return name if getattr(activations, name, None) is getattr(maker, "activation", 0) else None


def warn_about_head(
    head: Head, sample: np.ndarray | None, prediction: Any, maker: Layer | None, where: str
) -> Iterator[tuple[str, str]]:
    """The subject and the text of each warning about an output.

    Args:
        head: the output's loss and metrics.
        sample: some of its targets, or None.
        prediction: the shape of the output.
        maker: the layer that gives the output, or None.
        where: its class and path.
    """
    kind = Kind.of(head.loss)
    activation = _last_activation(maker)
    if activation is not None:
        if activation == "softmax" and prediction.shape[-1] == 1:
            yield "softmax of one", _softmax_of_one(where)
        elif kind is not None and kind.from_logits:
            yield from _activated_twice(kind, where, activation)
        elif kind is not None and activation not in PROBABILITIES[kind.name]:
            yield "no probabilities", _no_probabilities(kind, where, activation)
    if kind is None and sample is not None:
        for metric in (*head.metrics, *head.weighted_metrics):
            if isinstance(metric, BinaryAccuracy | SparseCategoricalAccuracy):
                yield from _counts_no_quantities(metric, sample)


def _softmax_of_one(where: str) -> str:
    return explain(
        f"{where} ends with a softmax over one output, which is always 1.",
        expected="one output with activation='sigmoid', or one for each class with a softmax",
        received="1 output with a softmax, from which nothing can be learned",
        fix="Dense(1, activation='sigmoid') with the loss 'binary_crossentropy'.",
    )


def _activated_twice(kind: Kind, where: str, activation: str) -> Iterator[tuple[str, str]]:
    function = "sigmoid" if kind.name == "binary" else "softmax"
    if activation in ("softmax", "sigmoid"):
        problem = f"applies the {function} itself, and {where} has applied one already."
        fix = f"leave out from_logits=True, or activation={activation!r} in the last layer."
    elif activation in ("relu", "ReLU", "relu6"):
        problem = f"takes logits of either sign, and {where} ends with a relu."
        fix = "leave out the last activation."
    else:
        return
    yield (
        "activated twice",
        explain(
            f"The loss, with from_logits=True, {problem}",
            expected="a last layer without an activation",
            received=f"activation={activation!r}",
            fix=fix,
        ),
    )


def _no_probabilities(kind: Kind, where: str, activation: str) -> str:
    wanted = "sigmoid" if kind.name == "binary" else "softmax"
    prefix = {"binary": "Binary", "categorical": "Categorical", "sparse": "SparseCategorical"}
    loss = f"{prefix[kind.name]}Crossentropy"
    reasons = {
        "sigmoid": "probabilities that do not sum to 1",
        "linear": "any numbers",
        "relu": "numbers above 1",
    }
    reason = reasons.get(activation, "numbers that are no probabilities")
    fix = f"end with activation={wanted!r}"
    if activation == "linear":
        fix += f", or use the loss nacre.losses.{loss}(from_logits=True)"
    elif activation == "sigmoid":
        fix += "; if an example may have several classes, use the loss 'binary_crossentropy'"
    return explain(
        f"The loss takes probabilities, and {where} gives {reason}.",
        expected=f"activation={wanted!r} in the last layer",
        received="no activation" if activation == "linear" else f"activation={activation!r}",
        fix=fix + ".",
    )


def _counts_no_quantities(metric: Any, sample: np.ndarray) -> Iterator[tuple[str, str]]:
    if sample.dtype.kind not in "biuf":
        return
    if isinstance(metric, BinaryAccuracy):
        strange = sample[(sample != 0) & (sample != 1)]
        expected = "targets of 0 and 1"
    else:
        strange = sample[sample != np.floor(sample)] if sample.dtype.kind == "f" else sample[:0]
        expected = "targets that are class numbers"
    if strange.size:
        yield (
            f"metric {metric.name}",
            explain(
                f"The metric {metric.name!r} counts how often a class is right, and the targets "
                "are quantities.",
                expected=expected,
                received=f"{strange.reshape(-1)[0]:g} among others",
                fix="to measure a regression use metrics=['mae'].",
            ),
        )
