"""Moving averages of the parameters, which often generalise better than the last values.

Reference:
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre.optimizers.equations import per_parameter

__all__ = ["overwrite_every", "update_average"]


def update_average(average: Any, params: Any, momentum: float, step: jax.Array) -> Any:
    """``momentum * average + (1 - momentum) * params``; the average starts at the parameters."""
    momentum_now = jnp.where(step == 0, 0.0, momentum).astype(jnp.float32)

    def moved(a: Any, w: Any, momentum: Any) -> tuple[Any]:
        return (momentum * a + (1 - momentum) * w,)

    return per_parameter(moved, average, params, momentum=momentum_now)[0]


def overwrite_every(frequency: int, params: Any, average: Any, step: jax.Array) -> Any:
    """The average in place of the parameters in every ``frequency``-th update."""
    due = (step + 1) % frequency == 0
    return jax.tree.map(lambda w, a: jnp.where(due, a, w), params, average)
