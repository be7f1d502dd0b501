"""Nadam: Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter, scalar_dtype, update_number
from nacre.optimizers.optimizer import DecayOptions, Optimizer

__all__ = ["Nadam"]


@register("optimizer")
class Nadam(Optimizer):
    """Adam with Nesterov's momentum, whose part grows from a half of ``β₁`` to all of it.

    ``μₜ = β₁ (1 - 0.96ᵗ / 2)``, ``m`` and ``v`` as in Adam,
    ``m̂ = μₜ₊₁ m / (1 - μ₁ ⋯ μₜ₊₁) + (1 - μₜ) g / (1 - μ₁ ⋯ μₜ)``, ``v̂ = v / (1 - β₂ᵗ)`` and
    ``w ← w - η m̂ / (√v̂ + ε)``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        beta_1: ``β₁``, the part of ``m`` that stays in each update.
        beta_2: ``β₂``, the part of ``v`` that stays in each update.
        epsilon: ``ε``, outside the root.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> nadam = nacre.optimizers.Nadam(learning_rate=0.1)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = nadam.update(g, nadam.init(w), w, learning_rate=0.1, step=0)
        >>> round(float(w["w"][0]), 4)
        0.8937

    Reference:
        Dozat, "Incorporating Nesterov momentum into Adam", 2016.
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
        slots = {name: filled_like(params, 0.0) for name in ("momentum", "velocity")}
        return {**slots, "product": jnp.ones((), scalar_dtype(params))}

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
        # In this precision, so that the rounding of 1 - β₂ᵗ and of 1 - β₂ cancels at t = 1.
        beta_1, beta_2 = (jnp.asarray(beta, t.dtype) for beta in (self.beta_1, self.beta_2))
        mu = beta_1 * (1 - 0.5 * jnp.power(0.96, t))
        mu_next = beta_1 * (1 - 0.5 * jnp.power(0.96, t + 1))
        product = slots["product"] * mu

        def equations(g: Any, m: Any, v: Any, **scalar: Any) -> tuple[Any, Any, Any]:
            m = m + scalar["m_rate"] * (g - m)
            v = v + scalar["v_rate"] * (g**2 - v)
            m_hat = scalar["m_weight"] * m + scalar["g_weight"] * g
            root = jnp.sqrt(v / scalar["v_weight"])
            return -scalar["lr"] * m_hat / (root + self.epsilon), m, v

        changes, momentum, velocity = per_parameter(
            equations,
            gradients,
            slots["momentum"],
            slots["velocity"],
            lr=learning_rate,
            m_rate=1 - beta_1,
            v_rate=1 - beta_2,
            m_weight=mu_next / (1 - product * mu_next),
            g_weight=(1 - mu) / (1 - product),
            v_weight=1 - jnp.power(beta_2, t),
        )
        return changes, {"momentum": momentum, "velocity": velocity, "product": product}
