"""Lion: the sign of the momentum."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.registry import register
from nacre.optimizers.equations import filled_like, per_parameter
from nacre.optimizers.optimizer import DecayOptions, Optimizer, require

__all__ = ["Lion"]


@register("optimizer")
class Lion(Optimizer):
    """Steps of one length: the sign of the momentum.

    ``w ← w - η sign(β₁ m + (1 - β₁) g)``, then ``m ← β₂ m + (1 - β₂) g``.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step; a third to a tenth of
            what suits Adam.
        beta_1: ``β₁``, the part of the momentum in the step.
        beta_2: ``β₂``, the part of the momentum that stays in each update.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Raises:
        ArgumentError: if ``beta_1`` is not between 0 and 1.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> lion = nacre.optimizers.Lion(learning_rate=0.25)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = lion.update(g, lion.init(w), w, learning_rate=0.25, step=0)
        >>> w["w"].tolist()
        [0.75]

    Reference:
        Chen et al., "Symbolic discovery of optimization algorithms", 2023.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        require("Lion", "beta_1", beta_1, 0 < beta_1 <= 1, "a number > 0 and <= 1")

    def slots(self, params: Any) -> Any:
        return {"momentum": filled_like(params, 0.0)}

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        def equations(g: Any, m: Any, lr: Any) -> tuple[Any, Any]:
            change = -lr * jnp.sign(self.beta_1 * m + (1 - self.beta_1) * g)
            return change, self.beta_2 * m + (1 - self.beta_2) * g

        changes, momentum = per_parameter(equations, gradients, slots["momentum"], lr=learning_rate)
        return changes, {"momentum": momentum}
