"""Adagrad: each gradient is divided by the root of the sum of its squares so far."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter
from nacre.optimizers.optimizer import DecayOptions, Optimizer

__all__ = ["Adagrad"]


@register("optimizer")
class Adagrad(Optimizer):
    """Each gradient is divided by the root of the sum of its squares so far.

    ``s ← s + g²`` and ``w ← w - η g / √(s + ε)``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        initial_accumulator_value: ``s`` before the first update.
        epsilon: ``ε``, inside the root.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> adagrad = nacre.optimizers.Adagrad(initial_accumulator_value=0.0)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = adagrad.update(g, adagrad.init(w), w, learning_rate=0.1, step=0)
        >>> round(float(w["w"][0]), 4)
        0.9

    Reference:
        Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
        optimization", 2011.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def slots(self, params: Any) -> Any:
        return {"accumulator": filled_like(params, self.initial_accumulator_value)}

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        def equations(g: Any, s: Any, lr: Any) -> tuple[Any, Any]:
            s = s + g**2
            return -lr * g / jnp.sqrt(s + self.epsilon), s

        changes, sums = per_parameter(equations, gradients, slots["accumulator"], lr=learning_rate)
        return changes, {"accumulator": sums}
