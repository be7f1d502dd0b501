"""What a model is trained for: its losses and metrics, output by output, as pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nacre import losses as loss_functions, metrics as metric_functions
from nacre.core.errors import ArgumentError, DataError, explain, unknown_name
from nacre.core.failures import FunctionError, fail
from nacre.core.scope import mask_of

__all__ = ["Objective", "Specification"]

Array = jax.Array


class Specification(NamedTuple):
    """The losses and metrics as the user gave them."""

    loss: Any = None
    metrics: Any = None
    loss_weights: Any = None
    weighted_metrics: Any = None


class Head(NamedTuple):
    """One output: its name (None for the only one), its loss, its metrics."""

    name: str | None
    loss: Any
    weight: float
    metrics: list[Any]
    weighted_metrics: list[Any]


class Objective:
    """The losses and metrics of a model whose outputs are known.

    Args:
        specification: what the user passed to ``compile``.
        y: shapes of the targets, or None.
        outputs: shapes of the outputs, in their structure.
        output_names: names for several outputs in a list; dictionaries have their own.
        makers: the layer that each output comes from, where that is known.
    """

    def __init__(
        self,
        specification: Specification,
        y: Any,
        outputs: Any,
        output_names: list[str],
        makers: list[Any] | None = None,
    ) -> None:
        if isinstance(outputs, dict):
            output_names = list(outputs)
        self.names = output_names
        self.makers = makers or [None] * len(output_names)
        self.single = not isinstance(outputs, dict | list | tuple) or len(output_names) == 1
        predictions = self.predictions = self.by_output(outputs)
        targets = self.by_output(y) if y is not None else [None] * len(predictions)
        per_output = {
            field: self._spread(field, getattr(specification, field), one_each=one_each)
            for field, one_each in [
                ("loss", True),
                ("loss_weights", True),
                ("metrics", False),
                ("weighted_metrics", False),
            ]
        }
        self.heads = []
        for i, (name, target, prediction) in enumerate(zip(output_names, targets, predictions)):
            loss = per_output["loss"][i]
            weight = per_output["loss_weights"][i]
            self.heads.append(
                Head(
                    None if self.single else name,
                    self._loss(loss, target, prediction),
                    1.0 if weight is None else float(weight),
                    self._metrics(per_output["metrics"][i], target, prediction),
                    self._metrics(per_output["weighted_metrics"][i], target, prediction),
                )
            )

    def _spread(self, field: str, given: Any, *, one_each: bool) -> list[Any]:
        """What ``compile`` was given for a field, one item for each output."""
        count = len(self.names)
        if isinstance(given, dict):
            for name in given:
                if name not in self.names:
                    raise unknown_name("output", str(name), self.names)
            return [given.get(name) for name in self.names]
        if not isinstance(given, list | tuple):
            return [given] * count
        if not one_each and (self.single or not any(isinstance(i, list | tuple) for i in given)):
            nested = len(given) == 1 and isinstance(given[0], list | tuple)
            return [list(given[0]) if nested else list(given)] * count
        if len(given) != count:
            raise ArgumentError(
                explain(
                    f"compile: {field} does not have one item for each output.",
                    expected=f"{count} items, for {', '.join(self.names)}",
                    received=f"{len(given)} items",
                )
            )
        return list(given)

    def _loss(self, given: Any, target: Any, prediction: Any) -> Any:
        y_shape = prediction.shape if target is None else target.shape
        return (
            None if given is None else loss_functions.resolve_for(given, y_shape, prediction.shape)
        )

    def _metrics(self, given: Any, target: Any, prediction: Any) -> list[Any]:
        if given is None:
            return []
        given = given if isinstance(given, list | tuple) else [given]
        y_shape = prediction.shape if target is None else target.shape
        return [metric_functions.resolve_for(m, y_shape, prediction.shape) for m in given]

    def by_output(self, tree: Any) -> list[Any]:
        """The items of targets, outputs or weights, in the order of the outputs."""
        if isinstance(tree, dict):
            missing = [name for name in self.names if name not in tree]
            if missing:
                raise DataError(
                    explain(
                        "The targets have no entry for some outputs.",
                        expected=", ".join(self.names),
                        received=", ".join(str(name) for name in tree),
                        fix="use the names of the output layers as keys.",
                    )
                )
            return [tree[name] for name in self.names]
        if isinstance(tree, list | tuple):
            if len(tree) != len(self.names):
                raise DataError(
                    explain(
                        "The model has another number of outputs than there are targets.",
                        expected=f"{len(self.names)} arrays, for {', '.join(self.names)}",
                        received=f"{len(tree)} arrays",
                    )
                )
            return list(tree)
        if len(self.names) != 1:
            raise DataError(
                explain(
                    "The model has several outputs, and one array of targets was given.",
                    expected=f"{len(self.names)} arrays, for {', '.join(self.names)}",
                    received="one array",
                )
            )
        return [tree]

    # The loss

    def losses(self, y: Any, outputs: Any, weight: Any) -> list[Array | None]:
        """The loss of each output. Runs in the call's scope, so masks and logits are known."""
        predictions = self.by_output(outputs)
        targets = [None] * len(predictions) if y is None else self.by_output(y)
        weights = self.weights_of(weight)
        return [
            None if head.loss is None else _computed(head.loss, target, prediction, w)
            for head, target, prediction, w in zip(self.heads, targets, predictions, weights)
        ]

    def total(self, losses: list[Array | None]) -> Array:
        """The weighted sum of the losses of the outputs."""
        terms = [head.weight * loss for head, loss in zip(self.heads, losses) if loss is not None]
        return sum(terms, jnp.zeros((), jnp.float32))

    def weights_of(self, weight: Any) -> list[Any]:
        """The example weights of each output, None where there are none."""
        if weight is None:
            return [None] * len(self.heads)
        if isinstance(weight, dict | list | tuple):
            return self.by_output(weight)
        return [weight] * len(self.heads)

    # The metrics: totals that ride along, and what is shown of them

    def initial(self) -> dict[str, Any]:
        """The totals before the first batch."""
        totals: dict[str, Any] = {"count": np.zeros((), np.float32)}
        for name in self._loss_names():
            totals[name] = np.zeros((), np.float32)
        for name, metric, _, _ in self._named_metrics():
            totals[f"metric {name}"] = metric.init()
        return totals

    def update(
        self,
        totals: dict[str, Any],
        y: Any,
        outputs: Any,
        weight: Any,
        masks: list[Any],
        total: Array,
        losses: list[Array | None],
        count: int,
    ) -> dict[str, Any]:
        """The totals after one more batch of ``count`` examples."""
        new = {"count": totals["count"] + count}
        shown = [total, *(loss for loss in losses if loss is not None)]
        for name, loss in zip(self._loss_names(), shown):
            new[name] = totals[name] + loss * count
        predictions = self.by_output(outputs)
        targets = [None] * len(predictions) if y is None else self.by_output(y)
        weights = self.weights_of(weight)
        for name, metric, i, weighted in self._named_metrics():
            w = weights[i] if weighted else None
            if masks[i] is not None:
                kept = masks[i].astype(jnp.float32)
                w = kept if w is None else kept * _like(w, kept)
            key = f"metric {name}"
            try:
                new[key] = metric.update(totals[key], targets[i], predictions[i], w)
            except Exception as error:
                where = f"The metric {metric.name!r}"
                fail(FunctionError, where, error, (targets[i], predictions[i], w))
        return new

    def results(self, totals: dict[str, Any]) -> list[Array]:
        """The value of each name in :attr:`result_names`."""
        count = totals["count"]  # 0 if every step was skipped, and then there is no mean
        values = [totals[name] / count for name in self._loss_names()]
        for name, metric, _, _ in self._named_metrics():
            values.append(jnp.asarray(metric.result(totals[f"metric {name}"]), jnp.float32))
        return values

    @property
    def result_names(self) -> list[str]:
        """The names in the history: ``loss``, each output's loss, then the metrics."""
        return self._loss_names() + [name for name, _, _, _ in self._named_metrics()]

    def _loss_names(self) -> list[str]:
        if self.single:
            return ["loss"]
        return ["loss", *(f"{head.name}_loss" for head in self.heads if head.loss is not None)]

    def _named_metrics(self) -> list[tuple[str, Any, int, bool]]:
        """Each metric with its name, its output, and whether sample weights apply to it."""
        found: list[tuple[str, Any, int, bool]] = []
        taken: set[str] = set(self._loss_names())
        for i, head in enumerate(self.heads):
            weighted = [(m, True) for m in head.weighted_metrics]
            for metric, is_weighted in [(m, False) for m in head.metrics] + weighted:
                base = metric.name if head.name is None else f"{head.name}_{metric.name}"
                name, number = base, 0
                while name in taken:
                    number += 1
                    name = f"{base}_{number}"
                taken.add(name)
                found.append((name, metric, i, is_weighted))
        return found


def _computed(loss: Any, target: Any, prediction: Any, weight: Any) -> Array:
    try:
        return as_scalar(loss(target, prediction, weight))
    except Exception as error:
        fail(FunctionError, f"The loss {loss.name!r}", error, (target, prediction, weight))


def as_scalar(loss: Array) -> Array:
    """A loss as one number: the mean, where a loss without a reduction gave several."""
    return jnp.mean(loss).astype(jnp.float32)


def _like(weight: Array, kept: Array) -> Array:
    """Weights of examples with an axis for each axis of the mask."""
    return weight.reshape(weight.shape + (1,) * (kept.ndim - weight.ndim)).astype(kept.dtype)


def masks_of(outputs: Any, names: list[str]) -> list[Any]:
    """The mask of each output, read while the call's scope lasts."""
    if isinstance(outputs, dict):
        return [mask_of(outputs[name]) for name in names]
    if isinstance(outputs, list | tuple):
        return [mask_of(output) for output in outputs]
    return [mask_of(outputs)]
