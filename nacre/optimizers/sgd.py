"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any, Unpack

import jax

from nacre.core.registry import register
from nacre.kernels.update import Rule
from nacre.optimizers.equations import filled_like, per_parameter
from nacre.optimizers.optimizer import DecayOptions, Optimizer, require

__all__ = ["SGD"]


@register("optimizer")
class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    ``w ← w - η g`` without momentum, else ``m ← μ m - η g`` and ``w ← w + m``, or with Nesterov's
    momentum ``w ← w + μ m - η g``. The velocity ``m`` contains the learning rate, so that a change
    of the rate acts on new gradients only.

    Args:
        learning_rate: ``η``, a number, a schedule or a function of the step.
        momentum: ``μ``, from 0 to 1.
        nesterov: whether to look ahead along the velocity.
        **common: the options of every :class:`~nacre.optimizers.Optimizer`.

    Raises:
        ArgumentError: if ``momentum`` is not between 0 and 1.

    Example:
        >>> import jax.numpy as jnp, nacre
        >>> sgd = nacre.optimizers.SGD(learning_rate=0.5)
        >>> w, g = {"w": jnp.array([1.0])}, {"w": jnp.array([0.5])}
        >>> w, state = sgd.update(g, sgd.init(w), w, learning_rate=sgd.learning_rate, step=0)
        >>> w["w"].tolist()
        [0.75]

    Reference:
        Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in
        deep learning", 2013.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[DecayOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.momentum = momentum
        self.nesterov = nesterov
        require("SGD", "momentum", momentum, 0 <= momentum <= 1, "a number from 0 to 1")

    def slots(self, params: Any) -> Any:
        return {"momentum": filled_like(params, 0.0)} if self.momentum else {}

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        def plain(g: Any, lr: Any) -> tuple[Any]:
            return (-lr * g,)

        def with_momentum(g: Any, m: Any, lr: Any) -> tuple[Any, Any]:
            m = self.momentum * m - lr * g
            return (self.momentum * m - lr * g if self.nesterov else m), m

        if not self.momentum:
            return per_parameter(plain, gradients, lr=learning_rate)[0], slots
        changes, momentum = per_parameter(
            with_momentum, gradients, slots["momentum"], lr=learning_rate
        )
        return changes, {"momentum": momentum}

    def kernel(self) -> Rule | None:
        name = "nesterov" if self.nesterov else "momentum"
        settings = (self.momentum,) if self.momentum else ()
        return Rule(
            name if settings else "sgd", settings, lambda learning_rate, step: learning_rate
        )
