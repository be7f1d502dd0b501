"""RMSprop: each gradient is divided by its recent root mean square."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.kernels.update import Rule
from nacre.optimizers.equations import filled_like, per_parameter
from nacre.optimizers.optimizer import DecayOptions, Optimizer

__all__ = ["RMSprop"]


@register("optimizer", "rmsprop")
class RMSprop(Optimizer):
    """Each gradient is divided by its recent root mean square.

    ``v ← ρ v + (1 - ρ) g²`` and ``w ← w - η g / √(v + ε)``. If ``centered``, the mean
    ``a ← ρ a + (1 - ρ) g`` is taken off: ``√(v - a² + ε)``. With momentum, the step ``s`` above
    goes through ``m ← μ m + s`` and ``w ← w - m``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        rho: ``ρ``, the part of the mean square that stays in each update.
        momentum: ``μ``; 0 for none.
        epsilon: ``ε``, inside the root.
        centered: divide by the standard deviation instead of the root mean square.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> rmsprop = nacre.optimizers.RMSprop(learning_rate=0.1)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = rmsprop.update(g, rmsprop.init(w), w, learning_rate=0.1, step=0)
        >>> round(float(w["w"][0]), 4)  # 1 - 0.1 / √0.1
        0.6838

    Reference:
        Tieleman and Hinton, "Lecture 6.5: RMSprop", Neural networks for machine learning, 2012.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def slots(self, params: Any) -> Any:
        names = ["velocity"]
        if self.momentum > 0:
            names.append("momentum")
        if self.centered:
            names.append("average_gradient")
        return {name: filled_like(params, 0.0) for name in names}

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        names = list(slots)

        def equations(g: Any, *remembered: Any, lr: Any) -> tuple[Any, ...]:
            slot = dict(zip(names, remembered))
            slot["velocity"] = self.rho * slot["velocity"] + (1 - self.rho) * g**2
            variance = slot["velocity"]
            if self.centered:
                mean = self.rho * slot["average_gradient"] + (1 - self.rho) * g
                slot["average_gradient"] = mean
                variance = variance - mean**2
            change = -lr * g / jnp.sqrt(variance + self.epsilon)
            if self.momentum > 0:
                change = slot["momentum"] = self.momentum * slot["momentum"] + change
            return change, *slot.values()

        changes, *remembered = per_parameter(
            equations, gradients, *slots.values(), lr=learning_rate
        )
        return changes, dict(zip(names, remembered))

    def kernel(self) -> Rule | None:
        if self.centered or self.momentum > 0:
            return None
        settings = (self.rho, 1 - self.rho, self.epsilon)
        return Rule("rmsprop", settings, lambda learning_rate, step: learning_rate)
