"""One step of training or evaluation, as a pure function ``(carry, batch) -> carry``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nacre.core.errors import BuildError, explain
from nacre.kernels.update import all_finite
from nacre.training.objective import Objective, masks_of

__all__ = ["Carry", "Constants", "evaluation_step", "forward", "training_step"]

Arrays = dict[str, jax.Array]


class Carry(NamedTuple):
    """What a step reads and replaces.

    Attributes:
        params: the weights that are trained, by path.
        state: what layers update themselves, by path.
        slots: the optimizer's state.
        totals: the metrics' totals.
        step: the number of updates made so far.
        finite: whether every loss and gradient so far was finite.
    """

    params: Arrays
    state: Arrays
    slots: Any
    totals: dict[str, Any]
    step: Any
    finite: Any


class Constants(NamedTuple):
    """What a step only reads.

    Attributes:
        frozen: the weights that are not trained, by path.
        learning_rate: the learning rate, unless the optimizer has a schedule.
        key: the random key that each step folds its number into.
    """

    frozen: Arrays
    learning_rate: Any
    key: jax.Array


def forward(model: Callable[[Any], Any], objective: Objective) -> Callable[[Any], Any]:
    """From a batch to outputs, their masks and their losses; runs in one call's scope."""

    def compute(batch: dict[str, Any]) -> Any:
        outputs = model(batch["x"])
        losses = objective.losses(batch.get("y"), outputs, batch.get("weight"))
        return outputs, masks_of(outputs, objective.names), losses

    return compute


def training_step(
    apply: Callable[..., Any],
    objective: Objective,
    optimizer: Any,
    on_nonfinite: str = "stop",
) -> Callable[[Carry, Any, Constants], Carry]:
    """The step of training.

    Args:
        apply: the lifted :func:`forward`.
        objective: the losses and metrics.
        optimizer: what turns gradients into updates.
        on_nonfinite: what to do where the loss or a gradient is not finite. ``"stop"`` changes
            nothing but ``finite``, ``"skip"`` changes nothing, ``"ignore"`` goes on.
    """

    def step(carry: Carry, batch: dict[str, Any], constants: Constants) -> Carry:
        key = jax.random.fold_in(constants.key, carry.step)

        def loss_of(params: Arrays) -> Any:
            (outputs, masks, losses), state, added = apply(
                {**constants.frozen, **params}, carry.state, batch, training=True, key=key
            )
            require_loss(losses, added)
            total = objective.total(losses) + sum(loss.astype(jnp.float32) for loss in added)
            return optimizer.scale_loss(total), (total, outputs, masks, losses, state)

        (_, (total, outputs, masks, losses, state)), gradients = jax.value_and_grad(
            loss_of, has_aux=True
        )(carry.params)
        if optimizer.schedule is None:
            learning_rate = constants.learning_rate
        else:
            learning_rate = optimizer.learning_rate_at(carry.step)
        before = gradients, carry.slots, carry.params
        known = {"learning_rate": learning_rate, "step": carry.step, "value": total}

        def counted() -> dict[str, Any]:
            return objective.update(
                carry.totals,
                batch.get("y"),
                outputs,
                batch.get("weight"),
                masks,
                total,
                losses,
                batch_size(batch),
            )

        if on_nonfinite == "ignore":
            params, slots = optimizer.update(*before, **known)
            return Carry(params, state, slots, counted(), carry.step + 1, carry.finite)
        finite = jnp.isfinite(total) & all_finite(gradients.values())
        params, slots = optimizer.update_if(finite, *before, **known)
        state, totals, count = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (state, counted(), carry.step + 1),
            (carry.state, carry.totals, carry.step),
        )
        return Carry(params, state, slots, totals, count, finite | (on_nonfinite == "skip"))

    return step


def require_loss(losses: list[Any], added: list[Any]) -> None:
    """Raise if there is nothing to make smaller."""
    if not added and all(loss is None for loss in losses):
        raise BuildError(
            explain(
                "The model has no loss, so there is nothing to train it for.",
                expected="a loss in compile(), or add_loss() in a layer",
                received="loss=None",
                fix='model.compile(optimizer="adam", loss="mse"), or another loss.',
            )
        )


def evaluation_step(
    apply: Callable[..., Any], objective: Objective
) -> Callable[[Carry, Any, Constants], Carry]:
    """The step of evaluation: it changes the metrics' totals only."""

    def step(carry: Carry, batch: dict[str, Any], constants: Constants) -> Carry:
        (outputs, masks, losses), _, added = apply(
            {**constants.frozen, **carry.params},
            carry.state,
            batch,
            training=False,
            key=jax.random.fold_in(constants.key, carry.step),
        )
        total = objective.total(losses) + sum(loss.astype(jnp.float32) for loss in added)
        totals = objective.update(
            carry.totals,
            batch.get("y"),
            outputs,
            batch.get("weight"),
            masks,
            total,
            losses,
            batch_size(batch),
        )
        return carry._replace(totals=totals, step=carry.step + 1)

    return step


def batch_size(batch: Any) -> int:
    """The number of examples in a batch."""
    return jax.tree.leaves(batch)[0].shape[0]
