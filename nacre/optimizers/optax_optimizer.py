"""Any Optax transformation, as it is."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register_serializable
from nacre.optimizers.optimizer import Optimizer, lenient_promotion

__all__ = ["OptaxOptimizer"]

RATE = ["hyperparams", "learning_rate"]


@register_serializable("optimizer")
class OptaxOptimizer(Optimizer):
    """An Optax transformation that stands as an optimizer.

    Its learning rate is part of its code, so Nacre can neither read it nor set it, unless it was
    made with ``optax.inject_hyperparams``, which keeps the number in the state.

    Args:
        transformation: an Optax transformation, or a named function without arguments that makes
            one (if the function is registered with ``nacre.saving.register_serializable``, a
            model that uses it can be saved).
        name: a name.

    Raises:
        ArgumentError: if ``transformation`` is something else.

    Example:
        >>> import nacre, optax
        >>> adam = nacre.optimizers.get(optax.inject_hyperparams(optax.adam)(0.01))
        >>> adam.learning_rate
        0.01
    """

    def __init__(self, transformation: Any, name: str | None = None) -> None:
        import optax  # not at the top: whoever gets here has imported it already

        self._optax: Any = None
        self._injected = False
        super().__init__(0.0, name=name)
        made = transformation() if inspect.isfunction(transformation) else transformation
        if isinstance(made, optax.MultiSteps):
            made = made.gradient_transformation()
        if not isinstance(made, optax.GradientTransformation):
            raise ArgumentError(
                explain(
                    "OptaxOptimizer takes an Optax transformation.",
                    expected="such as optax.adam(0.001), or a function that returns one",
                    received=f"{made!r} ({type(made).__name__})",
                )
            )
        self._optax = optax.with_extra_args_support(made)
        rate = _injected_learning_rate(self._optax)
        if rate is not None:
            self._injected, self._learning_rate = True, rate

    def slots(self, params: Any) -> Any:
        with lenient_promotion():
            return self._optax.init(params)

    def rule(
        self, gradients: Any, slots: Any, params: Any, *, learning_rate: jax.Array, **extra: Any
    ) -> tuple[Any, Any]:
        extra.pop("step")
        if self._injected:
            slots = _with_learning_rate(slots, learning_rate)
        with lenient_promotion():
            changes, new_slots = self._optax.update(gradients, slots, params, **extra)
        # A loop's carry keeps its types; with 64 bits on, some transformations widen theirs.
        kept = jax.tree.map(lambda new, old: jnp.asarray(new).astype(old.dtype), new_slots, slots)
        return changes, kept

    @property
    def learning_rate(self) -> Any:
        """The number in ``optax.inject_hyperparams``; otherwise it is not known."""
        if self._optax is not None and not self._injected:
            raise self._unknown("The learning rate of an Optax transformation cannot be read.")
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if self._optax is not None and not self._injected:
            raise self._unknown("The learning rate of an Optax transformation cannot be set.")
        Optimizer.learning_rate.fset(self, value)  # type: ignore[misc]

    @property
    def learning_rate_is_known(self) -> bool:
        """Whether :attr:`learning_rate` can be read and set."""
        return self._injected

    def learning_rate_at(self, step: Any) -> Any:
        """The learning rate, or NaN if it is not known."""
        return super().learning_rate_at(step) if self._injected else np.float32(np.nan)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._constructor_arguments)

    def _unknown(self, problem: str) -> ArgumentError:
        return ArgumentError(
            explain(
                problem,
                expected="a transformation that keeps its learning rate in its state",
                received="one that has it in its code",
                fix="make it with optax.inject_hyperparams, as in "
                "optax.inject_hyperparams(optax.adam)(learning_rate=0.001), or use Nacre's own "
                "optimizer, as in nacre.optimizers.Adam(0.001).",
            )
        )


def _injected_learning_rate(transformation: Any) -> float | None:
    """The number that ``optax.inject_hyperparams`` keeps in the state, or None."""
    try:
        with lenient_promotion():
            state = transformation.init({"w": jnp.zeros(1)})
    except Exception:  # it is made for particular parameters: then nothing is known
        return None
    flat = jax.tree_util.tree_flatten_with_path(state)[0]
    names = [[_name(key) for key in place] for place, _ in flat]
    rates = [value for (_, value), name in zip(flat, names) if name[-2:] == RATE]
    scheduled = any("hyperparams_states" in name and "learning_rate" in name for name in names)
    # Through the shortest text, so that the float32 nearest to 0.01 reads as 0.01.
    return float(str(np.asarray(rates[0]))) if len(rates) == 1 and not scheduled else None


def _with_learning_rate(state: Any, learning_rate: jax.Array) -> Any:
    def replaced(place: Any, value: Any) -> Any:
        is_rate = [_name(key) for key in place[-2:]] == RATE
        return learning_rate.astype(value.dtype) if is_rate else value

    return jax.tree_util.tree_map_with_path(replaced, state)


def _name(key: Any) -> Any:
    return getattr(key, "name", getattr(key, "key", None))
