"""Adamax: Adam with the largest recent gradient in place of the root mean square."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter, update_number
from nacre.optimizers.optimizer import DecayOptions, Optimizer

__all__ = ["Adamax"]


@register("optimizer")
class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the root mean square.

    ``m ← m + (1 - β₁) (g - m)``, ``u ← max(β₂ u, |g|)`` and ``w ← w - η m / ((1 - β₁ᵗ) (u + ε))``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        beta_1: ``β₁``, the part of ``m`` that stays in each update.
        beta_2: ``β₂``, the factor by which ``u`` falls in each update.
        epsilon: ``ε``.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> adamax = nacre.optimizers.Adamax(learning_rate=0.1)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = adamax.update(g, adamax.init(w), w, learning_rate=0.1, step=0)
        >>> round(float(w["w"][0]), 4)
        0.9

    Reference:
        Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.1.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def slots(self, params: Any) -> Any:
        return {name: filled_like(params, 0.0) for name in ("momentum", "norm")}

    def rule(
        self,
        gradients: Any,
        slots: Any,
        params: Any,
        *,
        learning_rate: jax.Array,
        step: jax.Array,
        **_: Any,
    ) -> tuple[Any, Any]:
        t = update_number(step, learning_rate)
        alpha = learning_rate / (1 - jnp.power(self.beta_1, t))

        def equations(g: Any, m: Any, u: Any, alpha: Any) -> tuple[Any, Any, Any]:
            m = m + (1 - self.beta_1) * (g - m)
            u = jnp.maximum(self.beta_2 * u, jnp.abs(g))
            return -alpha * m / (u + self.epsilon), m, u

        changes, momentum, norm = per_parameter(
            equations, gradients, slots["momentum"], slots["norm"], alpha=alpha
        )
        return changes, {"momentum": momentum, "norm": norm}
