"""Adadelta: steps in the units of the parameters."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter
from nacre.optimizers.optimizer import DecayOptions, Optimizer

__all__ = ["Adadelta"]


@register("optimizer")
class Adadelta(Optimizer):
    """Each step is as long as recent steps were, in proportion to recent gradients.

    ``v ← ρ v + (1 - ρ) g²``, ``Δ = - g √(d + ε) / √(v + ε)``, ``d ← ρ d + (1 - ρ) Δ²`` and
    ``w ← w + η Δ``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step; 1 in the paper.
        rho: ``ρ``, the part of the mean squares that stays in each update.
        epsilon: ``ε``, inside the roots.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> adadelta = nacre.optimizers.Adadelta(learning_rate=1.0, epsilon=0.01)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = adadelta.update(g, adadelta.init(w), w, learning_rate=1.0, step=0)
        >>> round(float(w["w"][0]), 4)
        0.5546

    Reference:
        Zeiler, "Adadelta: an adaptive learning rate method", 2012.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.rho = rho
        self.epsilon = epsilon

    def slots(self, params: Any) -> Any:
        names = ("accumulated_grad", "accumulated_delta_var")
        return {name: filled_like(params, 0.0) for name in names}

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        def equations(g: Any, v: Any, d: Any, lr: Any) -> tuple[Any, Any, Any]:
            v = self.rho * v + (1 - self.rho) * g**2
            delta = -g * jnp.sqrt(d + self.epsilon) / jnp.sqrt(v + self.epsilon)
            d = self.rho * d + (1 - self.rho) * delta**2
            return lr * delta, v, d

        squares, deltas = slots["accumulated_grad"], slots["accumulated_delta_var"]
        changes, squares, deltas = per_parameter(
            equations, gradients, squares, deltas, lr=learning_rate
        )
        return changes, {"accumulated_grad": squares, "accumulated_delta_var": deltas}
