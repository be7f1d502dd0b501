"""Lamb: Adam's direction, in proportion to each array's norm."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter, update_number
from nacre.optimizers.optimizer import DecayOptions, Optimizer

__all__ = ["Lamb"]


@register("optimizer")
class Lamb(Optimizer):
    """Adam's direction, in proportion to the norm of each array of parameters.

    ``m`` and ``v`` as in Adam, ``r = (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)`` and
    ``w ← w - η (‖w‖ / ‖r‖) r``, where the ratio is 1 if one of the norms is 0.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        beta_1: ``β₁``, the part of ``m`` that stays in each update.
        beta_2: ``β₂``, the part of ``v`` that stays in each update.
        epsilon: ``ε``, outside the root.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> lamb = nacre.optimizers.Lamb(learning_rate=0.1)
        >>> w, g = {"w": jnp.array([2.0])}, {"w": jnp.array([5.0])}
        >>> w, state = lamb.update(g, lamb.init(w), w, learning_rate=0.1, step=0)
        >>> round(float(w["w"][0]), 4)
        1.8

    Reference:
        You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020.
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
        return {name: filled_like(params, 0.0) for name in ("momentum", "velocity")}

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

        def equations(g: Any, w: Any, m: Any, v: Any, **scalar: Any) -> tuple[Any, Any, Any]:
            m = m + (1 - self.beta_1) * (g - m)
            v = v + (1 - self.beta_2) * (g**2 - v)
            r = (m / scalar["m_weight"]) / (jnp.sqrt(v / scalar["v_weight"]) + self.epsilon)
            return -scalar["lr"] * _ratio_of_norms(w, r) * r, m, v

        changes, momentum, velocity = per_parameter(
            equations,
            gradients,
            params,
            slots["momentum"],
            slots["velocity"],
            lr=learning_rate,
            m_weight=1 - jnp.power(self.beta_1, t),
            v_weight=1 - jnp.power(self.beta_2, t),
        )
        return changes, {"momentum": momentum, "velocity": velocity}


def _ratio_of_norms(w: jax.Array, r: jax.Array) -> jax.Array:
    w_norm = jnp.sqrt(jnp.sum(w**2))
    r_norm = jnp.sqrt(jnp.sum(r**2))
    defined = (w_norm > 0) & (r_norm > 0)
    return jnp.where(defined, w_norm / jnp.where(defined, r_norm, 1.0), 1.0)
