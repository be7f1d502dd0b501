"""Follow the regularised leader: parameters of little use are exactly zero."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter
from nacre.optimizers.optimizer import DecayOptions, Optimizer, require

__all__ = ["Ftrl"]


@register("optimizer")
class Ftrl(Optimizer):
    """Follow the regularised leader, which makes parameters of little use exactly zero.

    With ``p = -learning_rate_power``, ``n' = n + g²``, ``σ = (n'ᵖ - nᵖ) / η`` and
    ``z ← z + g + 2 λ₃ w - σ w``:
    ``w ← (clip(z, -λ₁, λ₁) - z) / (n'ᵖ / η + 2 λ₂ + β / η)``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        learning_rate_power: ``-p``, at most 0; 0 for a fixed learning rate.
        initial_accumulator_value: ``n`` before the first update.
        l1_regularization_strength: ``λ₁``.
        l2_regularization_strength: ``λ₂``.
        l2_shrinkage_regularization_strength: ``λ₃``, which acts on the gradient.
        beta: ``β``.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Raises:
        ArgumentError: if a strength is negative or ``learning_rate_power`` is positive.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> ftrl = nacre.optimizers.Ftrl(learning_rate=0.1, l1_regularization_strength=1.0)
        >>> w, g = {"w": jnp.array([0.0, 0.0])}, {"w": jnp.array([0.5, 5.0])}
        >>> w, state = ftrl.update(g, ftrl.init(w), w, learning_rate=0.1, step=0)
        >>> [round(float(weight), 4) for weight in w["w"]]
        [0.0, -0.0798]

    Reference:
        McMahan et al., "Ad click prediction: a view from the trenches", 2013.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        good = learning_rate_power <= 0
        require("Ftrl", "learning_rate_power", learning_rate_power, good, "a number <= 0")
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            value = getattr(self, name)
            require("Ftrl", name, value, value >= 0, "a number >= 0")

    def slots(self, params: Any) -> Any:
        return {
            "accumulator": filled_like(params, self.initial_accumulator_value),
            "linear": filled_like(params, 0.0),
        }

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        l1, l2 = self.l1_regularization_strength, self.l2_regularization_strength
        shrinkage = self.l2_shrinkage_regularization_strength

        def equations(g: Any, w: Any, n: Any, z: Any, lr: Any) -> tuple[Any, Any, Any]:
            power, n = jnp.power(n, -self.learning_rate_power), n + g**2
            new_power = jnp.power(n, -self.learning_rate_power)
            z = z + g + 2 * shrinkage * w - (new_power - power) / lr * w
            new_w = (jnp.clip(z, -l1, l1) - z) / (new_power / lr + 2 * l2 + self.beta / lr)
            return new_w - w, n, z

        changes, accumulator, linear = per_parameter(
            equations, gradients, params, slots["accumulator"], slots["linear"], lr=learning_rate
        )
        return changes, {"accumulator": accumulator, "linear": linear}
