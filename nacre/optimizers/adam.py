"""Adam and AdamW: momentum over root mean square, both corrected for their start at zero."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register
from nacre.kernels.update import Rule
from nacre.optimizers.equations import filled_like, per_parameter, update_number
from nacre.optimizers.optimizer import CommonOptions, DecayOptions, Optimizer

__all__ = ["Adam", "AdamW"]


@register("optimizer")
class Adam(Optimizer):
    """Momentum over root mean square, both corrected for their start at zero.

    ``m ← m + (1 - β₁) (g - m)``, ``v ← v + (1 - β₂) (g² - v)`` and ``w ← w - α m / (√v + ε)`` with
    ``α = η √(1 - β₂ᵗ) / (1 - β₁ᵗ)`` in update ``t``. This is the form before section 2.1 of the
    paper, in which ``ε`` is added to the uncorrected root (PyTorch and Optax add it to the
    corrected one, which differs where gradients are about as small as ``ε``). If ``amsgrad``, the
    largest ``v`` so far stands for ``v`` in the last equation.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        beta_1: ``β₁``, the part of ``m`` that stays in each update.
        beta_2: ``β₂``, the part of ``v`` that stays in each update.
        epsilon: ``ε``, outside the root.
        amsgrad: never let ``v`` fall.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> adam = nacre.optimizers.Adam(learning_rate=0.1)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([5.0])}
        >>> w, state = adam.update(g, adam.init(w), w, learning_rate=adam.learning_rate, step=0)
        >>> round(float(w["w"][0]), 4)
        0.9

    Reference:
        Kingma and Ba, "Adam: a method for stochastic optimization", 2015. For ``amsgrad``: Reddi,
        Kale and Kumar, "On the convergence of Adam and beyond", 2018.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def slots(self, params: Any) -> Any:
        return {name: filled_like(params, 0.0) for name in self._slot_names()}

    def _slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat")[: 3 if self.amsgrad else 2]

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
        alpha = self._alpha(learning_rate, step)

        def equations(g: Any, m: Any, v: Any, *largest: Any, alpha: Any) -> tuple[Any, ...]:
            m = m + (1 - self.beta_1) * (g - m)
            v = v + (1 - self.beta_2) * (g**2 - v)
            largest = tuple(jnp.maximum(v_hat, v) for v_hat in largest)
            root = jnp.sqrt(largest[0] if self.amsgrad else v)
            return -alpha * m / (root + self.epsilon), m, v, *largest

        names = self._slot_names()
        remembered = (slots[name] for name in names)
        changes, *remembered = per_parameter(equations, gradients, *remembered, alpha=alpha)
        return changes, dict(zip(names, remembered))

    def _alpha(self, learning_rate: jax.Array, step: jax.Array) -> jax.Array:
        t = update_number(step, learning_rate)
        alpha = learning_rate * jnp.sqrt(1 - jnp.power(self.beta_2, t))
        return alpha / (1 - jnp.power(self.beta_1, t))

    def kernel(self) -> Rule | None:
        settings = (1 - self.beta_1, 1 - self.beta_2, self.epsilon)
        return None if self.amsgrad else Rule("adam", settings, self._alpha)


@register("optimizer", "adamw")
class AdamW(Adam):
    """Adam with weight decay that does not pass through the gradients.

    ``w ← w - η λ w``, then Adam's update.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        weight_decay: ``λ``, in units of the learning rate.
        beta_1: as in :class:`Adam`.
        beta_2: as in :class:`Adam`.
        epsilon: as in :class:`Adam`.
        amsgrad: as in :class:`Adam`.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Raises:
        ArgumentError: if ``weight_decay`` is None.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> adamw = nacre.optimizers.AdamW(learning_rate=0.1, weight_decay=0.5)
        >>> w, g = {"w": jnp.array([2.0])}, {"w": jnp.array([5.0])}
        >>> w, state = adamw.update(g, adamw.init(w), w, learning_rate=0.1, step=0)
        >>> round(float(w["w"][0]), 4)  # 2 - 0.1 * 0.5 * 2 - 0.1
        1.8

    Reference:
        Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[CommonOptions],
    ) -> None:
        if weight_decay is None:
            raise ArgumentError(
                explain(
                    "AdamW without weight decay is Adam.",
                    expected="weight_decay, a number >= 0",
                    received="weight_decay=None",
                    fix="use Adam, or leave out weight_decay for its default of 0.004.",
                )
            )
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **common
        )
